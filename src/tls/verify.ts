import { MeshError } from '../core/errors.ts'
import type { TrustBundles } from '../core/identity.ts'
import { aBoolean, anything, numberFrom, readOptions } from '../core/options.ts'
import { BelievedCertificates } from './believed-certificates.ts'
import type { Certificate } from './certificate.ts'
import { leafProblem, type PeerRole, validityProblem } from './certificate-rules.ts'
import { findPath, placeName } from './path.ts'
import { problem, type Refusal, refusal } from './refusal.ts'
import { Revocations } from './revocations.ts'
import { parseSpiffeId } from './spiffe-id.ts'
import { subjectId } from './subject-id.ts'
import { readTrustAnchors } from './trust-anchors.ts'

/** The most certificates a peer may send. A leaf and one or two intermediates are usual, and twice that during a rotation. */
const MAX_CERTIFICATES = 8

export interface VerifierOptions {
  /**
   * How far clocks may differ, in milliseconds, at most an hour. Default: 60,000. Machines that keep time differ by less than a second; a minute
   * covers one that has just resumed, and lengthens the life of a stolen certificate of 24 h by a thousandth.
   */
  readonly skewMs?: number
  /** Take Linkerd's DNS names for certificates without SPIFFE ID. Default: false. */
  readonly linkerdNames?: boolean
  /** Who is no longer believed. Default: nobody. */
  readonly revocations?: Revocations
}

/** What is asked of one peer. */
export interface PeerQuestion {
  /** Which part the peer plays: `server` when this process has called it. */
  readonly role: PeerRole
  /** `clock.wall()`. */
  readonly now: number
  /** The SPIFFE IDs it may have, or the trust domains it may be of; either is enough. Default: whoever is believed. */
  readonly ids?: readonly string[]
  readonly trustDomains?: readonly string[]
}

/** A peer that is believed. */
export interface VerifiedPeer {
  /** Its SPIFFE ID. */
  readonly id: string
  /** When its leaf ceases to be valid, in milliseconds since 1970: a connection that lives longer must be asked again. */
  readonly notAfter: number
}

/**
 * Decides whom to believe, by rules stricter than Node's and OpenSSL's: X.509 as RFC 5280 writes it, X509-SVID, and what no mesh needs
 * refused. One for each set of trust bundles; it may be used for any number of peers. It never throws for what a peer sends.
 *
 * Costs about 0.15 ms for a leaf and an intermediate (P-256), nearly all of it the two signatures; 0.02 ms for those that were believed before.
 */
export class Verifier {
  readonly #anchors: ReadonlyMap<string, readonly Certificate[]>
  readonly #options: Required<VerifierOptions>
  readonly #believed: BelievedCertificates

  /**
   * @param believed may be another verifier's, whomever it trusts
   * @throws MeshError INMESH_IDENTITY for a bundle that can't be read, INMESH_CONFIG for bad options
   */
  constructor(trust: TrustBundles, options?: VerifierOptions, believed = new BelievedCertificates()) {
    this.#options = readOptions<Required<VerifierOptions>>(
      'verifier',
      options,
      { skewMs: 60_000, linkerdNames: false, revocations: new Revocations() },
      { skewMs: numberFrom(0, 3_600_000), linkerdNames: aBoolean, revocations: anything },
    )
    this.#anchors = readTrustAnchors(trust)
    this.#believed = believed
  }

  /** @param chain what the peer has sent, as DER, its leaf first */
  verify(chain: readonly Uint8Array[], question: PeerQuestion): VerifiedPeer | Refusal {
    const read = readChain(chain, this.#believed)
    if ('rule' in read) return read
    const [leaf, ...others] = read as [Certificate, ...Certificate[]]
    const broken = leafProblem(leaf, question.role) ?? validityProblem(leaf, question.now, this.#options.skewMs)
    if (broken !== undefined) return refusal(placeName(leaf, 0, false), broken)
    const subject = subjectId(leaf, this.#options)
    if ('problem' in subject) return refusal(placeName(leaf, 0, false), problem('name', subject.problem))
    return this.#judge(leaf, others, subject.id, question) ?? { id: subject.id, notAfter: leaf.notAfter }
  }

  #judge(leaf: Certificate, others: readonly Certificate[], id: string, question: PeerQuestion): Refusal | undefined {
    const name = `${placeName(leaf, 0, false)} of ${id}`
    const { trustDomain } = parseSpiffeId(id)
    // The bundle of the leaf's own trust domain and no other: a root of one domain must not speak for the next.
    const anchors = this.#anchors.get(trustDomain)
    if (anchors === undefined) {
      const known = [...this.#anchors.keys()].slice(0, 5).join(', ')
      const text = `its trust domain ${trustDomain} is not trusted here (${known} is): add that domain's trust bundle`
      return refusal(name, problem('trust-domain', text))
    }
    const { skewMs, revocations } = this.#options
    const { role, now } = question
    const path = findPath(leaf, others, anchors, { id, role, now, skewMs, revocations })
    if ('rule' in path) return path
    if (revocations.denies(id))
      return refusal(
        name,
        problem('revoked', 'this identity is on the deny-list: give the workload another one, or take it off the list'),
      )
    if (!isAllowed(id, trustDomain, question)) return refusal(name, problem('not-allowed', notAllowedText(question)))
    this.#believed.keep(path.slice(0, -1))
    return undefined
  }
}

/** A refusal as an error that a caller gets. */
export function refusalError(peer: string, { message }: Refusal): MeshError {
  return MeshError.refusal('INMESH_IDENTITY', `${peer}: ${message}`)
}

function readChain(chain: readonly Uint8Array[], believed: BelievedCertificates): Certificate[] | Refusal {
  if (chain.length === 0)
    return refusal('no certificate', problem('chain', 'the peer has sent none: it must have an identity of its own'))
  if (chain.length > MAX_CERTIFICATES) {
    const text = `${chain.length} certificates sent, at most ${MAX_CERTIFICATES} are taken: send the leaf and its intermediates only`
    return refusal('chain', problem('chain', text))
  }
  const read: Certificate[] = []
  for (const der of chain) {
    try {
      read.push(believed.read(der))
    } catch (cause) {
      const place = read.length === 0 ? 'leaf certificate' : `certificate ${read.length + 1} of ${chain.length}`
      return refusal(place, problem('malformed', `can't be read: ${(cause as Error).message}: issue it anew`))
    }
  }
  return read
}

function isAllowed(id: string, trustDomain: string, { ids, trustDomains }: PeerQuestion): boolean {
  if (ids === undefined && trustDomains === undefined) return true
  return ids?.includes(id) === true || trustDomains?.includes(trustDomain) === true
}

function notAllowedText({ ids = [], trustDomains = [] }: PeerQuestion): string {
  const asked = [...ids, ...trustDomains.map((domain) => `anyone of ${domain}`)]
  const shown =
    asked.length === 0 ? 'nobody' : `${asked.slice(0, 3).join(', ')}${asked.length > 3 ? ` or ${asked.length - 3} others` : ''}`
  return `is believed, and ${shown} was expected: correct the expected identity, or what the address leads to`
}
