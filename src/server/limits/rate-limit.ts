import type { Admission, AdmissionFactory } from '../../core/admission.ts'
import type { Inbound, Refusal } from '../../core/inbound.ts'
import { aBoolean, aFunction, integerFrom, numberFrom, readOptions } from '../../core/options.ts'
import { clientKey } from './client-key.ts'

export interface RateLimitOptions {
  /** Requests a second that each client may send in the long run, above 0. Default 100. */
  readonly perSecond: number
  /** Requests that it may send at once after a rest, 1 or more. Default: as many as in a second, rounded up. */
  readonly burst: number
  /** Who a request comes from. Default: the peer's identity, else the client's address (of an IPv6 address its /64 network). */
  readonly client: (inbound: Inbound) => string
  /** Clients that are remembered, 2 or more. Default 10000, about 2 MB. */
  readonly maxClients: number
  /** False counts what would have been refused and serves it: shadow mode. Default true. */
  readonly enforce: boolean
}

/**
 * Bounds how often each client may send, by GCRA, the generic cell rate algorithm (ITU-T I.371): one number a client, no timer. Refused as `rate_limited`
 * with the time after which the next request would be admitted.
 *
 * The table has two generations, so that a client not heard from since the last change of generation is forgotten without a search; whoever is forgotten begins
 * anew. So somebody with very many addresses escapes the limit, but costs bounded memory; `concurrencyLimit` is what protects the process.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function rateLimit(options?: Partial<RateLimitOptions>): AdmissionFactory {
  const perSecond = options?.perSecond ?? 100
  const burst = Number.isFinite(perSecond) ? Math.max(1, Math.ceil(perSecond)) : 1
  const defaults: RateLimitOptions = { perSecond: 100, burst, client: clientKey, maxClients: 10_000, enforce: true }
  const read = readOptions('rateLimit', options, defaults, {
    perSecond: numberFrom(0.001, 1e6),
    burst: integerFrom(1, 1e6),
    client: aFunction,
    maxClients: integerFrom(2, 1e7),
    enforce: aBoolean,
  })
  return () => new RateLimit(read)
}

class RateLimit implements Admission {
  readonly enforce: boolean
  readonly #client: (inbound: Inbound) => string
  /** From one request to the next in the long run, in milliseconds. */
  readonly #intervalMs: number
  /** How far ahead of that a client may be. */
  readonly #toleranceMs: number
  readonly #perGeneration: number
  /** Client -> the time at which its next request would be due. */
  #young = new Map<string, number>()
  #old = new Map<string, number>()

  constructor({ perSecond, burst, client, maxClients, enforce }: RateLimitOptions) {
    this.enforce = enforce
    this.#client = client
    this.#intervalMs = 1_000 / perSecond
    this.#toleranceMs = this.#intervalMs * (burst - 1)
    this.#perGeneration = Math.floor(maxClients / 2)
  }

  admit(inbound: Inbound, now: number): Refusal | undefined {
    const client = this.#client(inbound)
    const due = Math.max(now, this.#young.get(client) ?? this.#old.get(client) ?? now)
    const aheadMs = due - now - this.#toleranceMs
    // sums of fractions must not refuse what is due to the millisecond
    const refused = aheadMs > 1e-6
    this.#remember(client, refused ? due : due + this.#intervalMs)
    return refused ? { reason: 'rate_limited', retryAfterMs: aheadMs } : undefined
  }

  #remember(client: string, due: number): void {
    this.#young.set(client, due)
    if (this.#young.size < this.#perGeneration) return
    this.#old = this.#young
    this.#young = new Map()
  }
}
