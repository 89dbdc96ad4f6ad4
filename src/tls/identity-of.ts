import { MeshError } from '../core/errors.ts'
import { discreet, type Identity, type TrustBundles } from '../core/identity.ts'
import { type Certificate, isSelfIssued, readCertificate, serialOf } from './certificate.ts'
import { DerError } from './der.ts'
import { readCertificates, readPrivateKey, toPem } from './pem.ts'
import { trustDomainProblem } from './spiffe-id.ts'
import { subjectId } from './subject-id.ts'
import { Verifier } from './verify.ts'

/** What an identity is made of. */
export interface IdentityParts {
  /** Where it comes from, for errors: `files: /etc/tls`. */
  readonly from: string
  /** PEM: the leaf first, then its intermediates, each signed by the next. A trust anchor at the end is left out. */
  readonly certificates: string
  /** PEM, not encrypted. */
  readonly key: string
  /** The trust anchors in PEM by trust domain; each text may hold several. */
  readonly trust: TrustBundles
  /** `clock.wall()`. */
  readonly now: number
}

/**
 * Makes an identity of what a source has read, if others will believe it: the key fits the leaf, the chain is in order and complete, it is
 * valid now, and this process's own trust anchors would accept it from a client and from a server.
 *
 * @throws MeshError INMESH_IDENTITY that says which certificate, which rule, what to do; nothing of the key is in it
 */
export function identityOf(parts: IdentityParts): Identity {
  const { from, now } = parts
  const trust = readTrust(parts.trust, from)
  const chain = readChain(parts.certificates, `${from}: certificates`)
  const [leaf] = chain as [Certificate]
  const key = readPrivateKey(parts.key, `${from}: key`)
  const fail = (problem: string): never => {
    throw new MeshError('INMESH_IDENTITY', `${from}: ${problem}`)
  }

  if (!leaf.x509.checkPrivateKey(key))
    fail(`the key does not fit the leaf certificate (serial ${serialOf(leaf)}): give the pair that was issued together`)
  const name = subjectId(leaf, { linkerdNames: true })
  if ('problem' in name) return fail(`the leaf certificate (serial ${serialOf(leaf)}): ${name.problem}`)
  checkOrder(chain, fail)
  checkBelieved(chain, trust, now, fail)

  return discreet({
    id: name.id,
    certificates: chain.map(({ raw }) => toPem('CERTIFICATE', raw)).join(''),
    key: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    trust,
    notBefore: Math.max(...chain.map(({ notBefore }) => notBefore)),
    notAfter: Math.min(...chain.map(({ notAfter }) => notAfter)),
  })
}

type Fail = (problem: string) => never

function readTrust(trust: TrustBundles, from: string): TrustBundles {
  const domains = Object.keys(trust)
  if (domains.length === 0) throw new MeshError('INMESH_IDENTITY', `${from}: no trust anchor: nobody could be believed`)
  for (const domain of domains) {
    const problem = trustDomainProblem(domain)
    if (problem !== undefined) throw new MeshError('INMESH_IDENTITY', `${from}: trust: ${domain}: ${problem}`)
  }
  return trust
}

function readChain(text: string, what: string): readonly Certificate[] {
  const ders = readCertificates(text, what)
  const chain = ders.map((der, index) => readOne(der, `${what}: certificate ${index + 1} of ${ders.length}`))
  while (chain.length > 1 && isSelfIssued(chain[chain.length - 1] as Certificate)) chain.pop()
  return chain
}

function readOne(der: Buffer, what: string): Certificate {
  try {
    const certificate = readCertificate(der)
    // Node's own reader may refuse what ours has read.
    if (certificate.x509.raw.length !== der.length) throw new DerError('there are bytes behind it')
    return certificate
  } catch (cause) {
    throw new MeshError('INMESH_IDENTITY', `${what}: no certificate that can be read: ${(cause as Error).message}`, { cause })
  }
}

/** Most peers look for the next certificate at the next place. */
function checkOrder(chain: readonly Certificate[], fail: Fail): void {
  for (const [index, certificate] of chain.entries()) {
    const next = chain[index + 1]
    if (next === undefined || certificate.issuer.equals(next.subject)) continue
    fail(
      `certificate ${index + 2} of ${chain.length} is not the issuer of the one before it: put the leaf first, then each intermediate behind what it has signed`,
    )
  }
}

/** What others would say to it: in a mesh, a workload is client and server. */
function checkBelieved(chain: readonly Certificate[], trust: TrustBundles, now: number, fail: Fail): void {
  const verifier = new Verifier(trust, { linkerdNames: true })
  const ders = chain.map(({ raw }) => raw)
  for (const role of ['server', 'client'] as const) {
    const verdict = verifier.verify(ders, { role, now })
    if ('rule' in verdict) fail(verdict.message)
  }
}
