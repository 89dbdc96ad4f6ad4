import { createPublicKey, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Certificate, readCertificate } from '../../../tls/certificate.ts'
import { readCertificateRequest } from '../../../tls/certificate-request.ts'
import { readCredentialFile, readKeyFile } from '../../../tls/file/credential-file.ts'
import { issueLeaf, makeKey } from '../../../tls/issue.ts'
import { readCertificates, readPrivateKey, readRequests } from '../../../tls/pem.ts'
import { parseSpiffeId, spiffeIdProblem, workloadId } from '../../../tls/spiffe-id.ts'
import { subjectId } from '../../../tls/subject-id.ts'
import { Verifier } from '../../../tls/verify.ts'
import { CaDirectory, pemOf, trustDomainOf } from '../../ca-directory.ts'
import { viewOf } from '../../certificate-view.ts'
import { type Answer, type Command, type Invocation, UsageError } from '../../command.ts'
import { inWords, readDuration, shownDate } from '../../duration.ts'
import { columns } from '../../help.ts'
import { MODE, writeOwnFile } from '../../own-file.ts'

export const command: Command = {
  summary: "issue a workload's certificate",
  takes: '[spiffe-id]',
  count: [0, 1],
  about: [
    'Writes tls.crt (the leaf, then the issuer), tls.key and ca.crt, the names that a Kubernetes secret has and that inmesh reads\nas the source `files`. Run it again to renew: files of the same identity are replaced.',
    'With --csr the key stays with whoever made the request (PKCS#10), and tls.key is not written. Of the request only the key\nand the SPIFFE ID are taken.',
  ],
  options: {
    dir: { value: '<dir>', help: 'the directory of the CA (default inmesh-ca)' },
    service: { value: '<name>', help: 'instead of a SPIFFE ID: spiffe://<trust domain>/ns/<namespace>/sa/<name>' },
    namespace: { value: '<name>', help: 'of the service (default default)' },
    ttl: { value: '<duration>', help: 'how long it is valid (default 24h)' },
    dns: { value: '<name>', multiple: true, help: 'a further name, for callers outside of the mesh; may be given several times' },
    csr: { value: '<file>', help: 'certify the key of this request' },
    out: { value: '<dir>', help: "where to write (default the ID's last part)" },
    force: { help: 'replace the files of another identity' },
  },
  async run(invocation) {
    const now = invocation.runtime.clock.wall()
    const ca = new CaDirectory(invocation.text('dir') ?? 'inmesh-ca')
    const lifeMs = readDuration(invocation.text('ttl') ?? '24h', 'ttl', '10s', '10y')
    const dnsNames = invocation.texts('dns').map(checkedDnsName)
    const request = await requestGiven(invocation)
    const issuer = await ca.issuer(now)
    const domain = trustDomainOf(certificateIn(issuer.certificate))
    const id = idGiven(invocation, domain) ?? request?.id
    if (id === undefined) throw new UsageError('for whom? expected a SPIFFE ID, or --service <name>, or a --csr that names it')
    checkId(id, domain, request?.id)

    const key = request === undefined ? makeKey() : undefined
    const publicKey = request?.publicKey ?? createPublicKey(key as KeyObject)
    const leaf = await issueLeaf(issuer, { id, publicKey, now, lifeMs, dnsNames })
    const files = { cert: leaf + issuer.certificate, key, bundle: await ca.bundle() }
    checkBelieved(files, parseSpiffeId(id).trustDomain, now)
    const out = invocation.text('out') ?? (id.split('/').at(-1) as string)
    await write(out, id, files, invocation.isSet('force'))
    return answerOf({ id, out, leaf: certificateIn(leaf), key, askedMs: lifeMs, now })
  },
}

interface Request {
  readonly publicKey: KeyObject
  readonly id: string | undefined
}

async function requestGiven(invocation: Invocation): Promise<Request | undefined> {
  const path = invocation.text('csr')
  if (path === undefined) return undefined
  const [der, ...more] = readRequests(await readCredentialFile(path), path) as [Buffer, ...Buffer[]]
  if (more.length > 0) throw new Error(`${path}: ${more.length + 1} requests in it, expected one`)
  try {
    const { publicKey, names } = readCertificateRequest(der)
    const ids = names.filter(({ form }) => form === 'uri')
    if (ids.length > 1) throw new Error(`${ids.length} URI names where at most one is allowed`)
    return { publicKey, id: ids[0]?.value }
  } catch (cause) {
    throw new Error(`${path}: no request that can be granted: ${(cause as Error).message}`, { cause })
  }
}

function idGiven(invocation: Invocation, domain: string | undefined): string | undefined {
  const [id] = invocation.args
  const service = invocation.text('service')
  if (service === undefined && invocation.text('namespace') !== undefined) throw new UsageError('--namespace goes with --service')
  if (service === undefined) return id
  if (id !== undefined) throw new UsageError('give a SPIFFE ID or --service, not both')
  if (domain === undefined)
    throw new UsageError('the CA is not bound to a trust domain: give the whole SPIFFE ID instead of --service')
  try {
    return workloadId(domain, invocation.text('namespace') ?? 'default', service)
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause })
  }
}

function checkId(id: string, domain: string | undefined, asked: string | undefined): void {
  const problem = spiffeIdProblem(id)
  if (problem !== undefined) throw new UsageError(`${JSON.stringify(id)} is no SPIFFE ID: ${problem}`)
  const { trustDomain, path } = parseSpiffeId(id)
  if (path === '') throw new UsageError(`${id} names a trust domain: a workload has a path, such as ${id}/ns/default/sa/voting`)
  if (domain !== undefined && trustDomain !== domain)
    throw new UsageError(`${id}: this CA signs for the trust domain ${domain} alone`)
  if (asked !== undefined && asked !== id) throw new UsageError(`the request is for ${asked}, and ${id} was given`)
}

function checkedDnsName(name: string): string {
  if (name.length <= 253 && /^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*$/.test(name))
    return name
  throw new UsageError(`--dns: expected a host's name, got ${JSON.stringify(name)}`)
}

interface Files {
  readonly cert: string
  readonly key: KeyObject | undefined
  readonly bundle: string
}

/** What others would say to it, before anything is written. */
function checkBelieved({ cert, bundle }: Files, trustDomain: string, now: number): void {
  const verifier = new Verifier({ [trustDomain]: [bundle] })
  const verdict = verifier.verify(readCertificates(cert, 'tls.crt'), { role: 'server', now })
  if ('rule' in verdict) throw new Error(`nobody would believe it: ${verdict.message}`)
}

async function write(out: string, id: string, { cert, key, bundle }: Files, force: boolean): Promise<void> {
  const path = join(out, 'tls.crt')
  if (!force) await checkSameIdentity(path, id)
  if (!force && key === undefined) await checkKeyFits(join(out, 'tls.key'), cert)
  mkdirSync(out, { recursive: true, mode: 0o700 })
  writeOwnFile(join(out, 'ca.crt'), bundle, MODE.open, true)
  if (key !== undefined) writeOwnFile(join(out, 'tls.key'), pemOf(key), MODE.secret, true)
  writeOwnFile(path, cert, MODE.open, true)
}

async function checkSameIdentity(path: string, id: string): Promise<void> {
  if (!existsSync(path)) return
  const found = await idIn(path).catch(() => undefined)
  if (found === id) return
  throw new Error(`${path} is of ${found ?? 'something else'}: give another --out, or --force to replace it`)
}

/** A key that is there already would stand beside a certificate that isn't its own. */
async function checkKeyFits(path: string, cert: string): Promise<void> {
  if (!existsSync(path)) return
  const key = readPrivateKey(await readKeyFile(path), path)
  if (certificateIn(cert).x509.checkPrivateKey(key)) return
  throw new Error(`${path} is not the key of the request: give another --out, or --force to leave it there`)
}

async function idIn(path: string): Promise<string | undefined> {
  const name = subjectId(certificateIn(await readCredentialFile(path)), { linkerdNames: false })
  return 'id' in name ? name.id : undefined
}

const certificateIn = (pem: string): Certificate => readCertificate(readCertificates(pem, 'certificate')[0] as Buffer)

interface Issued {
  readonly id: string
  readonly out: string
  readonly leaf: Certificate
  readonly key: KeyObject | undefined
  readonly askedMs: number
  readonly now: number
}

function answerOf({ id, out, leaf, key, askedMs, now }: Issued): Answer {
  const at = (name: string) => join(out, name)
  // Certificates count in seconds.
  const isShortened = leaf.notAfter + 1_000 < now + askedMs
  const keyRow: (readonly [string, string])[] = key === undefined ? [] : [[at('tls.key'), 'its key']]
  return {
    json: {
      id,
      certificateFile: at('tls.crt'),
      keyFile: key === undefined ? null : at('tls.key'),
      bundleFile: at('ca.crt'),
      shortened: isShortened,
      leaf: viewOf(leaf, now),
    },
    lines: (paint) => [
      `${paint('green', '√')} issued ${id}`,
      ...columns([
        [at('tls.crt'), `the leaf, until ${shownDate(leaf.notAfter, now)}, then its issuer`],
        ...keyRow,
        [at('ca.crt'), 'the trust anchors'],
      ]),
      ...(isShortened ? [`${paint('yellow', '!')} ${inWords(askedMs)} were asked for: a leaf never outlives its issuer`] : []),
    ],
  }
}
