import { trustDomainProblem } from '../../../tls/spiffe-id.ts'
import { CaDirectory } from '../../ca-directory.ts'
import { viewOf } from '../../certificate-view.ts'
import { type Answer, type Command, type Invocation, UsageError } from '../../command.ts'
import { readDuration, shownDate } from '../../duration.ts'
import { columns } from '../../help.ts'

export const command: Command = {
  summary: 'make a CA of your own: a root, and an issuer that signs for it',
  takes: '',
  count: [0, 0],
  about: [
    'The root signs issuers and nothing else: move root.key to a safe place, and bring it back for the next issuer. The issuer\nsigns leaves; --new-issuer replaces it, and nobody has to trust anything new. Both can only sign for the trust domain.',
    'Files: root.crt, root.key, issuer.crt, issuer.key, and ca.crt, the trust anchors that every process gets.',
  ],
  options: {
    dir: { value: '<dir>', help: 'where, a directory that its owner alone may enter (default inmesh-ca)' },
    'trust-domain': { value: '<name>', help: 'whom it may sign for (default inmesh.local)' },
    valid: { value: '<duration>', help: 'how long the root is valid (default 10y)' },
    'issuer-valid': { value: '<duration>', help: 'how long the issuer is valid (default 1y)' },
    'new-issuer': { help: 'make only another issuer, under the root that is there' },
    force: { help: 'replace a CA that is there: what it has issued is believed no more' },
  },
  async run(invocation) {
    const now = invocation.runtime.clock.wall()
    const ca = new CaDirectory(invocation.text('dir') ?? 'inmesh-ca')
    const issuerMs = readDuration(invocation.text('issuer-valid') ?? '1y', 'issuer-valid', '1h', '30y')
    const isIssuerOnly = invocation.isSet('new-issuer')
    if (isIssuerOnly) checkIssuerOnly(invocation)
    const rootMs = readDuration(invocation.text('valid') ?? '10y', 'valid', '1h', '30y')
    const made = isIssuerOnly
      ? await ca.renewIssuer({ now, issuerMs })
      : await ca.make(trustDomainGiven(invocation), { now, rootMs, issuerMs }, invocation.isSet('force'))
    return answerOf(ca, made, now, isIssuerOnly)
  },
}

function checkIssuerOnly(invocation: Invocation): void {
  const other = ['trust-domain', 'valid'].find((option) => invocation.text(option) !== undefined)
  const given = invocation.isSet('force') ? 'force' : other
  if (given !== undefined) throw new UsageError(`--${given} does not go with --new-issuer: the root stays as it is`)
}

function trustDomainGiven(invocation: Invocation): string {
  const name = invocation.text('trust-domain') ?? 'inmesh.local'
  const problem = trustDomainProblem(name)
  if (problem !== undefined) throw new UsageError(`--trust-domain: ${problem}, got ${JSON.stringify(name)}`)
  return name
}

function answerOf(ca: CaDirectory, made: Awaited<ReturnType<CaDirectory['make']>>, now: number, isIssuerOnly: boolean): Answer {
  const root = viewOf(made.root, now)
  const issuer = viewOf(made.issuer, now)
  const until = (text: string) => `until ${shownDate(Date.parse(text), now)}`
  return {
    json: {
      directory: ca.path,
      trustDomain: root.boundTo,
      root: { certificateFile: ca.at('rootCertificate'), keyFile: ca.at('rootKey'), ...root },
      issuer: { certificateFile: ca.at('issuerCertificate'), keyFile: ca.at('issuerKey'), ...issuer },
      bundleFile: ca.at('bundle'),
    },
    lines: (paint) => [
      `${paint('green', '√')} made ${isIssuerOnly ? 'another issuer' : 'a CA'} for ${root.boundTo} in ${ca.path}`,
      ...columns([
        [ca.at('rootCertificate'), `the root, ${until(root.notAfter)}`],
        [ca.at('rootKey'), 'signs issuers alone: keep it where nobody else gets it'],
        [ca.at('issuerCertificate'), `the issuer, ${until(issuer.notAfter)}`],
        [ca.at('issuerKey'), 'signs leaves'],
        [ca.at('bundle'), 'the trust anchors, for every process'],
      ]),
      '',
      `next: inmesh ca issue --dir ${ca.path} --service <name> --namespace default`,
    ],
  }
}
