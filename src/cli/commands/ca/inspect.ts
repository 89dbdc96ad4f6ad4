import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TrustBundles } from '../../../core/identity.ts'
import { printable } from '../../../core/printable.ts'
import { type Certificate, readCertificate } from '../../../tls/certificate.ts'
import { readCredentialFile } from '../../../tls/file/credential-file.ts'
import { readCertificates, toPem } from '../../../tls/pem.ts'
import { parseSpiffeId } from '../../../tls/spiffe-id.ts'
import { subjectId } from '../../../tls/subject-id.ts'
import { type CertificateView, viewLines, viewOf } from '../../certificate-view.ts'
import { drawChain, type Verdict, verdictOf } from '../../chain.ts'
import type { Answer, Command, Invocation, Paint } from '../../command.ts'
import { type LiveServer, lookAt } from '../../live-server.ts'
import { localAnchors, localTrustPlace } from '../../local-trust.ts'
import { readBundle } from '../../trust-bundle.ts'

export const command: Command = {
  summary: 'show certificates of a file or a server, and whether they are believed',
  takes: '<file | host:port>',
  count: [1, 1],
  about: [
    'Every certificate with each rule that it breaks by itself, then what the verifier of the mesh says of the chain, which is\nstricter than openssl. A private key that is in the file is never shown.',
    "Trust anchors are those of --trust, else of the ca.crt beside the file, else of this machine's own CA. The exit code is 1\nwhen the chain is not believed, or nobody can tell for want of trust anchors.",
  ],
  options: {
    trust: { value: '<file>', help: 'the trust anchors to judge by' },
    servername: { value: '<name>', help: 'the name to ask the server for (SNI; default the host)' },
  },
  async run(invocation) {
    const subject = await subjectOf(invocation)
    const now = invocation.runtime.clock.wall()
    const [leaf] = subject.chain as [Certificate]
    const isBundle = leaf.extensions.basicConstraints?.ca === true
    const trust = isBundle ? noTrust : await trustFor(leaf, invocation)
    const roles = isBundle ? [] : subject.tls === null ? (['server', 'client'] as const) : (['server'] as const)
    return answerOf({
      ...subject,
      trust,
      now,
      views: subject.chain.map((certificate) => viewOf(certificate, now)),
      verdicts: roles.map((role) => verdictOf(subject.chain, trust.bundles, role, now)),
    })
  },
}

interface Subject {
  readonly from: string
  readonly chain: readonly Certificate[]
  /** Of a server; null for a file. */
  readonly tls: Omit<LiveServer, 'chain'> | null
  readonly hasKey: boolean
}

async function subjectOf(invocation: Invocation): Promise<Subject> {
  const [from] = invocation.args as readonly [string]
  if (existsSync(from) || !/:\d+\/?$/.test(from)) {
    const text = await readCredentialFile(from)
    const hasKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)
    return { from, chain: read(readCertificates(text, from), from), tls: null, hasKey }
  }
  const { chain, ...tls } = await lookAt(from, invocation.text('servername'), invocation.runtime.clock)
  if (chain.length === 0) throw new Error(`${from}: the server has shown no certificate`)
  return { from, chain: read(chain, from), tls, hasKey: false }
}

function read(ders: readonly Uint8Array[], from: string): Certificate[] {
  return ders.map((der, index) => {
    try {
      return readCertificate(der)
    } catch (cause) {
      const message = `${from}: certificate ${index + 1} of ${ders.length} can't be read: ${(cause as Error).message}`
      throw new Error(message, { cause })
    }
  })
}

interface Trust {
  /** Where the anchors are; null when there are none. */
  readonly from: string | null
  readonly anchors: readonly Certificate[]
  readonly bundles: TrustBundles
}

const noTrust: Trust = { from: null, anchors: [], bundles: {} }

async function trustFor(leaf: Certificate, invocation: Invocation): Promise<Trust> {
  const name = subjectId(leaf, { linkerdNames: true })
  if (!('id' in name)) return noTrust
  const { trustDomain } = parseSpiffeId(name.id)
  const given = invocation.text('trust')
  const beside = join(dirname(invocation.args[0] as string), 'ca.crt')
  const file = given ?? (existsSync(invocation.args[0] as string) && existsSync(beside) ? beside : undefined)
  if (file !== undefined) return trustOf(file, await readBundle(file), trustDomain)
  if (trustDomain.startsWith('.')) return noTrust
  const local = await localAnchors(trustDomain)
  return local.length === 0
    ? noTrust
    : trustOf(
        localTrustPlace(trustDomain),
        local.map(({ certificate }) => certificate),
        trustDomain,
      )
}

function trustOf(from: string, anchors: readonly Certificate[], trustDomain: string): Trust {
  return { from, anchors, bundles: { [trustDomain]: anchors.map(({ raw }) => toPem('CERTIFICATE', raw)) } }
}

interface Findings extends Subject {
  readonly views: readonly CertificateView[]
  readonly verdicts: readonly Verdict[]
  readonly trust: Trust
  readonly now: number
}

function answerOf(findings: Findings): Answer {
  const { from, tls, hasKey, views, verdicts, trust } = findings
  const isBad =
    verdicts.length === 0 ? views.some(({ problems }) => problems.length > 0) : verdicts.some((one) => one.believed !== true)
  return {
    json: { from, tls, hasKey, certificates: views, trust: trust.from, verdicts },
    negative: isBad,
    lines: (paint) => linesOf(findings, paint),
  }
}

function linesOf({ from, tls, hasKey, chain, views, verdicts, trust, now }: Findings, paint: Paint): string[] {
  const lines = [
    `${from}: ${views.length} certificate${views.length === 1 ? '' : 's'}${hasKey ? ', and a private key, which is not shown' : ''}`,
  ]
  if (tls !== null) lines.push(tlsLine(tls))
  for (const [index, view] of views.entries())
    lines.push('', paint('bold', `${index + 1} of ${views.length}`), ...viewLines(view, now, paint))
  if (verdicts.length === 0) return lines
  lines.push('', paint('bold', 'chain'), ...drawChain(chain, trust.anchors, now, paint))
  lines.push('', `${paint('bold', 'verdict')}${trust.from === null ? '' : ` by ${trust.from}`}`)
  return [...lines, ...verdicts.map((verdict) => verdictLine(verdict, paint))]
}

function tlsLine({ protocol, cipher, group, alpn }: Omit<LiveServer, 'chain'>): string {
  return printable([protocol, cipher, group, alpn].filter((part) => part !== null).join(', '))
}

function verdictLine({ role, believed, rule, message }: Verdict, paint: Paint): string {
  if (believed === true) return `  ${paint('green', '√')} believed as a ${role}`
  if (believed === null) return `  ${paint('yellow', '?')} as a ${role}: ${message}`
  return `  ${paint('red', '×')} refused as a ${role} (${rule}): ${printable(message as string)}`
}
