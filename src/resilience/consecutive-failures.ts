import type { Runtime } from '../core/clock.ts'
import { MeshError } from '../core/errors.ts'
import type { Gate, GateFactory } from '../core/gate.ts'
import { integerFrom, numberFrom, positiveMs, readOptions } from '../core/options.ts'
import type { Verdict } from '../core/verdict.ts'
import { doubled } from './backoff.ts'

export interface ConsecutiveFailuresOptions {
  /** How many failures in a row shut the endpoint, 1 or more. Default 7. */
  readonly failures: number
  /** How long it is shut at first, in milliseconds, above 0; doubles with each probe that fails. Default 1000. */
  readonly minBackoffMs: number
  /** The longest it is shut at a time, jitter included, in milliseconds, at least `minBackoffMs`. Default 60000. */
  readonly maxBackoffMs: number
  /** The random share added to each backoff, from 0 to 100: with 0.5, up to half of it. Default 0.5. */
  readonly jitter: number
}

/**
 * The endpoint breaker: shuts an endpoint after so many failures in a row, lets one probe through after a backoff, and serves
 * again once a probe succeeds. The semantics and the defaults are those of Linkerd's consecutive-failures accrual.
 *
 * What counts, while serving: a `failure` adds, a `success` starts again from 0, `overload` and `ignored` do neither (a server that
 * says 429 is alive, but has not shown that it works). A probe must end in `success`: one that meets `overload` fails, as the
 * endpoint still turns work away. A `Retry-After` on the verdict that shuts the endpoint prolongs the backoff, up to `maxBackoffMs`.
 *
 * Whether a timeout is the endpoint's fault is judged before it gets here: one that passed while this very process stood still
 * arrives as `ignored`.
 *
 * Costs a few integer operations an attempt; no timer, no allocation.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function consecutiveFailures(options?: Partial<ConsecutiveFailuresOptions>): GateFactory {
  const read = readOptions('consecutiveFailures', options, DEFAULTS, {
    failures: integerFrom(1),
    minBackoffMs: positiveMs,
    maxBackoffMs: positiveMs,
    jitter: numberFrom(0, 100),
  })
  if (read.maxBackoffMs < read.minBackoffMs) {
    const expected = `expected at least minBackoffMs, which is ${read.minBackoffMs}`
    throw new MeshError('INMESH_CONFIG', `consecutiveFailures.maxBackoffMs: ${expected}, got ${read.maxBackoffMs}`)
  }
  return (runtime) => new ConsecutiveFailuresGate(read, runtime)
}

const DEFAULTS: ConsecutiveFailuresOptions = { failures: 7, minBackoffMs: 1_000, maxBackoffMs: 60_000, jitter: 0.5 }

/** `serving` admits all; `shut` refuses until `shutUntil`, then admits a probe; `probing` refuses while the probe is out. */
type State = 'serving' | 'shut' | 'probing'

class ConsecutiveFailuresGate implements Gate {
  readonly #options: ConsecutiveFailuresOptions
  readonly #runtime: Runtime
  #state: State = 'serving'
  /** Failures since the last success, while serving. */
  #failures = 0
  /** Times it was shut since it last served: the exponent of the backoff. */
  #trips = 0
  /** Permits out. */
  #out = 0
  shutUntil = 0

  constructor(options: ConsecutiveFailuresOptions, runtime: Runtime) {
    this.#options = options
    this.#runtime = runtime
  }

  acquire(now: number): boolean {
    if (this.#state !== 'serving') {
      if (this.#state === 'probing' || now < this.shutUntil) return false
      this.#probe()
    }
    this.#out++
    return true
  }

  judge(now: number, verdict: Verdict): void {
    if (this.#state === 'serving') this.#judgeServing(now, verdict)
    else if (this.#state === 'probing') this.#judgeProbe(now, verdict)
    // While shut, what was admitted before still comes in; it can't tell anything new.
  }

  release(now: number): void {
    if (this.#out > 0) this.#out--
    // Nobody is out, so the probe ended unjudged: without this the endpoint would never be asked again.
    if (this.#out === 0 && this.#state === 'probing') this.#letNextProbe(now)
  }

  #judgeServing(now: number, verdict: Verdict): void {
    if (verdict.outcome === 'success') this.#failures = 0
    else if (verdict.outcome === 'failure' && ++this.#failures >= this.#options.failures) this.#shut(now, verdict)
  }

  #judgeProbe(now: number, verdict: Verdict): void {
    if (verdict.outcome === 'success') this.#serve()
    else if (verdict.outcome !== 'ignored') this.#shut(now, verdict)
    else this.#probeSaidNothing(now, verdict)
  }

  #probeSaidNothing(now: number, verdict: Verdict): void {
    if (this.#out > 1) {
      // An attempt admitted before the trip is still out, so this may have been that one and the probe may be out too.
      // Waiting as long as the last time keeps probes rare and can't wedge.
      this.#trips--
      this.#shut(now, verdict)
      return
    }
    this.#letNextProbe(now)
  }

  // === serving, failures in a row or probing, probe failed -> shut ===
  #shut(now: number, verdict: Verdict): void {
    const { minBackoffMs, maxBackoffMs, jitter } = this.#options
    const base = doubled(minBackoffMs, this.#trips++, maxBackoffMs)
    const wait = Math.max(base + this.#runtime.random() * jitter * base, verdict.retryAfterMs)
    this.#state = 'shut'
    this.shutUntil = now + Math.min(wait, maxBackoffMs)
  }

  // === shut, backoff over -> probing ===
  #probe(): void {
    this.#state = 'probing'
    this.shutUntil = Number.POSITIVE_INFINITY
  }

  // === probing, probe said nothing -> shut, next probe at once ===
  #letNextProbe(now: number): void {
    this.#state = 'shut'
    this.shutUntil = now
  }

  // === probing, probe succeeded -> serving ===
  #serve(): void {
    this.#state = 'serving'
    this.shutUntil = 0
    this.#failures = 0
    this.#trips = 0
  }
}
