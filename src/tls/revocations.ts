import { type Certificate, serialOf } from './certificate.ts'
import type { RevocationList } from './crl.ts'
import { KEY_USAGE } from './extensions.ts'
import { type Problem, problem } from './refusal.ts'

/** What is revoked: both are whole sets. */
export interface Revoked {
  /** SPIFFE IDs that are refused at once, whatever their certificates say. */
  readonly ids?: Iterable<string>
  readonly lists?: readonly RevocationList[]
}

/**
 * Who is no longer believed. What it holds can be replaced while the process runs: the next handshake is judged by it.
 */
export class Revocations {
  #ids: ReadonlySet<string>
  #lists: readonly RevocationList[]
  readonly #listeners = new Set<() => void>()

  constructor({ ids = [], lists = [] }: Revoked = {}) {
    this.#ids = new Set(ids)
    this.#lists = lists
  }

  /** Takes new sets for those given; the others stay. */
  replace({ ids, lists }: Revoked): void {
    if (ids !== undefined) this.#ids = new Set(ids)
    if (lists !== undefined) this.#lists = lists
    for (const listener of this.#listeners) listener()
  }

  /**
   * Calls `changed` after each replacement: whoever has connections looks whether they may stay.
   *
   * @returns a function that stops
   */
  onChange(changed: () => void): () => void {
    const listener = () => changed()
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Whether an identity is on the deny-list. */
  denies(id: string): boolean {
    return this.#ids.has(id)
  }

  /**
   * What the lists say of one certificate. Issuers that have no list are not asked for one. An issuer that has one, and none that is current,
   * refuses: whoever keeps lists wants them to be heard, and an attacker who keeps a newer one from arriving must not win by it.
   */
  listProblem(certificate: Certificate, issuer: Certificate, now: number, skewMs: number): Problem | undefined {
    let stale: Problem | undefined
    let current = false
    for (const list of this.#lists) {
      if (!list.isOf(issuer)) continue
      const unusable = listWeakness(list, issuer)
      if (unusable !== undefined) return unusable
      if (list.has(certificate))
        return problem(
          'revoked',
          `is revoked by its issuer's list (serial ${serialOf(certificate)}): issue the workload a new one`,
        )
      if (isCurrent(list, now, skewMs)) current = true
      else
        stale = problem(
          'revocation-list',
          'the revocation list of its issuer is not current: fetch a newer one, or compare the clocks',
        )
    }
    return current ? undefined : stale
  }
}

function listWeakness(list: RevocationList, issuer: Certificate): Problem | undefined {
  const { keyUsage } = issuer.extensions
  if (keyUsage !== undefined && (keyUsage & KEY_USAGE.crlSign) === 0) {
    return problem(
      'revocation-list',
      'its issuer may not sign revocation lists and there is one: issue the CA with cRLSign, or remove the list',
    )
  }
  if (list.isSignedBy(issuer)) return undefined
  return problem(
    'revocation-list',
    'the revocation list of its issuer is not signed by it, or not by SHA-256 or stronger: fetch it again',
  )
}

function isCurrent({ thisUpdate, nextUpdate }: RevocationList, now: number, skewMs: number): boolean {
  return thisUpdate <= now + skewMs && (nextUpdate === undefined || now - skewMs <= nextUpdate)
}
