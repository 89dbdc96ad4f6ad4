import type { Admission, AdmissionFactory } from '../../core/admission.ts'
import type { Inbound, InboundReason, Priority, Refusal } from '../../core/inbound.ts'
import { aBoolean, aFunction, durationMs, readOptions } from '../../core/options.ts'
import { gradient } from './gradient.ts'
import type { Limit, LimitFactory } from './limit.ts'

export interface ConcurrencyLimitOptions {
  /** `gradient()`, `vegas()` or `fixedLimit({ requests })`. Default: `gradient()`. */
  readonly limit: LimitFactory
  /** What refused callers are told to wait, in milliseconds; sent as whole seconds, rounded up. Default 1000. */
  readonly retryAfterMs: number
  /** False counts what would have been refused and serves it: shadow mode. Default true. */
  readonly enforce: boolean
}

/**
 * Bounds how many requests are under way at once, from their arrival to the head of their answer; the rest is refused at once as `overloaded`, which the callers
 * read as "not processed, try elsewhere". Better than a queue: what waits in one is often given up by its caller before its turn comes.
 *
 * `sheddable` requests may use three quarters of the limit, `default` ones all of it, `critical` ones a quarter more. The limit learns from windows of
 * at least 100 ms and 10 requests. In shadow mode a request that would have been refused takes no part in the count.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function concurrencyLimit(options?: Partial<ConcurrencyLimitOptions>): AdmissionFactory {
  const defaults: ConcurrencyLimitOptions = { limit: gradient(), retryAfterMs: 1_000, enforce: true }
  const read = readOptions('concurrencyLimit', options, defaults, {
    limit: aFunction,
    retryAfterMs: durationMs,
    enforce: aBoolean,
  })
  return () => new ConcurrencyLimit(read, read.limit())
}

/** The share of the limit that each may use. */
const SHARES: Readonly<Record<Priority, number>> = {
  exempt: Number.POSITIVE_INFINITY,
  critical: 1.25,
  default: 1,
  sheddable: 0.75,
}
/** A window is over when both are reached. */
const WINDOW_MS = 100
const WINDOW_REQUESTS = 10

class ConcurrencyLimit implements Admission {
  readonly enforce: boolean
  readonly #limit: Limit
  readonly #refusal: Refusal
  #inFlight = 0
  // the window
  #since = Number.NEGATIVE_INFINITY
  #requests = 0
  #sumMs = 0
  #most = 0
  #dropped = false

  constructor(options: ConcurrencyLimitOptions, limit: Limit) {
    this.enforce = options.enforce
    this.#limit = limit
    this.#refusal = Object.freeze({ reason: 'overloaded', retryAfterMs: options.retryAfterMs })
  }

  admit(inbound: Inbound): Refusal | undefined {
    // at least one may always pass, or nothing would ever be learnt
    if (this.#inFlight > 0 && this.#inFlight >= this.#limit.value * SHARES[inbound.priority]) return this.#refusal
    this.#inFlight++
    if (this.#inFlight > this.#most) this.#most = this.#inFlight
    return undefined
  }

  release(inbound: Inbound, now: number, reason: InboundReason): void {
    this.#inFlight--
    if (reason === 'timeout') this.#dropped = true
    // a failure may be fast and a caller that left says nothing: neither is how long the work takes
    else if (reason !== 'ok') return
    this.#requests++
    this.#sumMs += now - inbound.startedAt
    if (this.#requests >= WINDOW_REQUESTS && now - this.#since >= WINDOW_MS) this.#learn(now)
  }

  #learn(now: number): void {
    this.#limit.sample(this.#sumMs / this.#requests, this.#most, this.#dropped)
    this.#since = now
    this.#requests = 0
    this.#sumMs = 0
    this.#most = this.#inFlight
    this.#dropped = false
  }
}
