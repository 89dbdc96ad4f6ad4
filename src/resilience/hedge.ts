import type { Call } from '../core/call.ts'
import { MeshError } from '../core/errors.ts'
import type { HedgePolicy, HedgePolicyFactory } from '../core/hedge-policy.ts'
import { durationMs, integerFrom, numberFrom, readOptions } from '../core/options.ts'
import type { RetryBudget } from '../core/retry-policy.ts'
import { AnswerTimes } from './answer-times.ts'
import { isResent } from './resent.ts'

export interface HedgeOptions {
  /** How many attempts a call may make while it has no answer, the first and resends included; from 2 to 5. Default 2. */
  readonly attempts: number
  /** After how long without an answer each further one is sent, in milliseconds, 0 or more. Default: as `percentile` says. */
  readonly delayMs: number
  /** The share of answers that come sooner than the delay, in percent, from 1 to 99.9: 95 hedges one call in twenty. Default 95. */
  readonly percentile: number
}

/**
 * Sends a call that waits for its answer longer than most to one more endpoint, takes whichever answer comes first and cancels the other:
 * a few per cent more load take the tail off the latency ("hedged requests": Dean and Barroso, The Tail at Scale, CACM 56/2, 2013).
 *
 * How long is longer than most is measured, unless `delayMs` says it: the given percentile of the route's own answer times, the last 1000 of
 * them, and nothing is hedged before the first 100. Calls that are not hedged for another reason do not count.
 *
 * Only idempotent calls that are no resends themselves. The service's retry budget pays for each, so hedging and resending together
 * never cost more than that allows. Every attempt goes to another endpoint; a service with one endpoint never hedges.
 *
 * @throws MeshError INMESH_CONFIG, also for a `percentile` beside a `delayMs`
 */
export function hedge(options?: Partial<HedgeOptions>): HedgePolicyFactory {
  const read = readOptions<Partial<HedgeOptions>>('hedge', options, DEFAULTS, {
    attempts: integerFrom(2, 5),
    delayMs: durationMs,
    percentile: numberFrom(1, 99.9),
  })
  const { attempts = DEFAULTS.attempts, delayMs, percentile } = read
  if (delayMs === undefined) return (_runtime, budget) => new MeasuredHedge(attempts, budget, percentile ?? PERCENTILE)
  if (percentile === undefined) return (_runtime, budget) => new FixedHedge(attempts, budget, delayMs)
  throw new MeshError('INMESH_CONFIG', `hedge.percentile: expected none beside delayMs, got ${percentile}`)
}

const DEFAULTS = { attempts: 2 }
const PERCENTILE = 95
/** Below a millisecond there is nothing to gain, and timers are no finer (Finagle's BackupRequestFilter has the same floor). */
const LEAST_MS = 1

class FixedHedge implements HedgePolicy {
  readonly #attempts: number
  readonly #budget: RetryBudget
  readonly #delayMs: number

  constructor(attempts: number, budget: RetryBudget, delayMs: number) {
    this.#attempts = attempts
    this.#budget = budget
    this.#delayMs = delayMs
  }

  covers(call: Call): boolean {
    return call.idempotent && !isResent(call)
  }

  delayMs(attempts: number): number {
    return attempts < this.#attempts ? this.#delayMs : -1
  }

  withdraw(): boolean {
    return this.#budget.withdraw()
  }

  observe(_elapsedMs: number): void {}
}

class MeasuredHedge implements HedgePolicy {
  readonly #fixed: FixedHedge
  readonly #times: AnswerTimes

  constructor(attempts: number, budget: RetryBudget, percentile: number) {
    this.#fixed = new FixedHedge(attempts, budget, 0)
    this.#times = new AnswerTimes(percentile / 100)
  }

  covers(call: Call): boolean {
    return this.#fixed.covers(call)
  }

  delayMs(attempts: number): number {
    const { quantileMs } = this.#times
    return quantileMs < 0 || this.#fixed.delayMs(attempts) < 0 ? -1 : Math.max(LEAST_MS, quantileMs)
  }

  withdraw(): boolean {
    return this.#fixed.withdraw()
  }

  observe(elapsedMs: number): void {
    this.#times.add(elapsedMs)
  }
}
