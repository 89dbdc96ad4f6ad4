import { type Certificate, isKeyIdOther, isSelfIssued, serialOf } from './certificate.ts'
import { intermediateProblem, issuerProblem, type PeerRole, validityProblem } from './certificate-rules.ts'
import type { GeneralName } from './general-name.ts'
import { constraintsProblem } from './name-constraints.ts'
import { type Problem, problem, type Refusal, refusal } from './refusal.ts'
import type { Revocations } from './revocations.ts'

/** The most certificates from leaf to trust anchor, both counted. Meshes have two to four. */
const MAX_PATH = 8
/** The most signatures that are checked for one peer: what it sends chooses how many ways there are to try. About 0.1 ms each. */
const MAX_SIGNATURES = 32

/** What the way from a leaf to a trust anchor is held to. */
export interface PathRules {
  /** The ID by which the leaf is known: constraints hold for it even where it stands in no URI name. */
  readonly id: string
  readonly role: PeerRole
  readonly now: number
  readonly skewMs: number
  readonly revocations: Revocations
}

/**
 * Looks for a way from a leaf to a trust anchor that breaks no rule (RFC 5280, 6.1). The peer's other certificates may be in any order,
 * cross-signed, or not needed.
 *
 * @returns it, from the leaf to the trust anchor; or why the way that came farthest is refused
 */
export function findPath(
  leaf: Certificate,
  others: readonly Certificate[],
  anchors: readonly Certificate[],
  rules: PathRules,
): readonly Certificate[] | Refusal {
  return new PathSearch(others, anchors, rules).search(leaf)
}

class PathSearch {
  readonly #others: readonly Certificate[]
  readonly #anchors: readonly Certificate[]
  readonly #rules: PathRules
  readonly #path: Certificate[] = []
  #signatures = 0
  #worst: Refusal | undefined
  #worstLength = 0

  constructor(others: readonly Certificate[], anchors: readonly Certificate[], rules: PathRules) {
    this.#others = others
    this.#anchors = anchors
    this.#rules = rules
  }

  search(leaf: Certificate): readonly Certificate[] | Refusal {
    this.#path.push(leaf)
    if (this.#extend(leaf)) return this.#path
    return this.#worst ?? refusal(placeName(leaf, 0, false), this.#untrusted(leaf))
  }

  /** Whether there is a way on from the path's last certificate. */
  #extend(last: Certificate): boolean {
    if (this.#path.length === MAX_PATH) return this.#tooLong(last)
    for (const anchor of this.#anchors) {
      if (!couldHaveSigned(anchor, last)) continue
      this.#path.push(anchor)
      const broken = this.#linkRefusal(last, anchor, true) ?? this.#wholeRefusal()
      if (broken === undefined) return true
      this.#remember(broken)
      this.#path.pop()
    }
    for (const other of this.#others) {
      if (this.#path.some(({ raw }) => raw.equals(other.raw)) || !couldHaveSigned(other, last)) continue
      this.#path.push(other)
      const broken = this.#linkRefusal(last, other, false)
      if (broken !== undefined) this.#remember(broken)
      else if (this.#extend(other)) return true
      this.#path.pop()
    }
    // What is known of a certificate that leads on, and breaks a rule there, says more.
    if (this.#worstLength <= this.#path.length) this.#remember(refusal(this.#nameOf(last, false), this.#untrusted(last)))
    return false
  }

  #linkRefusal(last: Certificate, issuer: Certificate, isAnchor: boolean): Refusal | undefined {
    const { role, now, skewMs } = this.#rules
    const own =
      (isAnchor ? issuerProblem(issuer, role) : intermediateProblem(issuer, role)) ?? validityProblem(issuer, now, skewMs)
    if (own !== undefined) return refusal(this.#nameOf(issuer, isAnchor), own)
    const child = this.#nameOf(last, false)
    if (++this.#signatures > MAX_SIGNATURES) {
      // Said whatever else was found: it may be the reason why no way was found.
      this.#worstLength = Number.POSITIVE_INFINITY
      this.#worst = refusal(
        child,
        problem('chain', `more than ${MAX_SIGNATURES} signatures would have to be checked: send one chain without others`),
      )
      return this.#worst
    }
    if (last.isSignedBy(issuer)) return undefined
    return refusal(
      child,
      problem('signature', 'its signature is not that of its issuer: it was changed, or another CA has the same name'),
    )
  }

  /** The rules that need the whole way. */
  #wholeRefusal(): Refusal | undefined {
    const { now, skewMs, revocations } = this.#rules
    const path = this.#path
    let below = 0
    for (const [index, issuer] of path.entries()) {
      if (index === 0) continue
      const isAnchor = index === path.length - 1
      const limit = issuer.extensions.basicConstraints?.pathLength
      if (limit !== undefined && below > limit) {
        const text = `allows ${limit} CAs between itself and a leaf and there are ${below}: issue with a longer path length, or directly`
        return refusal(this.#nameOf(issuer, isAnchor), problem('path-length', text))
      }
      if (!isSelfIssued(issuer)) below++
      for (const [at, certificate] of path.slice(0, index).entries()) {
        const broken =
          at > 0 && isSelfIssued(certificate) ? undefined : constraintsProblem(issuer, this.#namesOf(certificate, at))
        if (broken !== undefined) return refusal(this.#nameOf(certificate, false), broken)
      }
      const child = path[index - 1] as Certificate
      const revoked = revocations.listProblem(child, issuer, now, skewMs)
      if (revoked !== undefined) return refusal(this.#nameOf(child, false), revoked)
    }
    return undefined
  }

  #namesOf({ extensions }: Certificate, at: number): readonly GeneralName[] {
    const names = extensions.subjectAltNames ?? []
    return at === 0 ? [...names, { form: 'uri', value: this.#rules.id }] : names
  }

  #untrusted(last: Certificate): Problem {
    const who = isSelfIssued(last) ? 'is signed by itself' : 'its issuer is neither among the certificates sent nor'
    const end = isSelfIssued(last) ? 'and is none of' : 'among'
    const what = `the ${this.#anchors.length} trust anchors of its trust domain`
    return problem('untrusted', `${who} ${end} ${what}: send the whole chain, or add its root to the trust bundle`)
  }

  #tooLong(last: Certificate): false {
    this.#remember(
      refusal(
        this.#nameOf(last, false),
        problem('chain', `no trust anchor after ${MAX_PATH} certificates: issue with fewer CAs`),
      ),
    )
    return false
  }

  #remember(found: Refusal): void {
    if (this.#path.length < this.#worstLength) return
    this.#worst = found
    this.#worstLength = this.#path.length
  }

  #nameOf(certificate: Certificate, isAnchor: boolean): string {
    return placeName(certificate, this.#path.indexOf(certificate), isAnchor)
  }
}

function couldHaveSigned(issuer: Certificate, certificate: Certificate): boolean {
  return (
    issuer.subject.equals(certificate.issuer) &&
    !isKeyIdOther(certificate.extensions.authorityKeyId, issuer.extensions.subjectKeyId)
  )
}

/** How a certificate is called in a refusal: by its place, which is ours, and its serial number. */
export function placeName(certificate: Certificate, index: number, isAnchor: boolean): string {
  const kind = isAnchor ? 'trust anchor' : index <= 0 ? 'leaf certificate' : `intermediate certificate ${index}`
  return `${kind} (serial ${serialOf(certificate)})`
}
