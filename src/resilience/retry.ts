import type { Attempt } from '../core/attempt.ts'
import { aFunction, durationMs, integerFrom, readOptions } from '../core/options.ts'
import type { RetryBudget, RetryPolicy, RetryPolicyFactory } from '../core/retry-policy.ts'
import type { Verdict } from '../core/verdict.ts'
import { type Backoff, type BackoffFactory, fullJitter } from './backoff.ts'
import { isResent } from './resent.ts'

export interface RetryOptions {
  /** How many attempts a call may make of what may be processed twice, from 1; the first counts. Default 2. */
  readonly attempts: number
  /** How long to wait before each. Default `fullJitter()`: up to 25 ms, doubling, at most 250 ms. */
  readonly backoff: BackoffFactory
  /** A server that asks for a longer `Retry-After` gets no further attempt, in milliseconds. Default 5000. */
  readonly maxRetryAfterMs: number
}

/**
 * Resends what failed, as far as that does no harm:
 *
 * - `safe` (it never reached the application): always, at once the first time and after a backoff then, up to five attempts.
 * - `idempotent` (it may have been processed): if the call is idempotent, has attempts left, is not itself a resend of a caller
 *   further up, and the service's budget pays for it. Waits for the backoff, or as long as `Retry-After` asks if that is longer.
 * - turned away for load (`safe` and `overload`): to another endpoint, whatever the method, if the budget pays.
 * - `never`: not at all.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function retry(options?: Partial<RetryOptions>): RetryPolicyFactory {
  const { attempts, backoff, maxRetryAfterMs } = readOptions('retry', options, DEFAULTS, {
    attempts: integerFrom(1, 100),
    backoff: aFunction,
    maxRetryAfterMs: durationMs,
  })
  return (runtime, budget) => new BudgetedRetry(attempts, backoff(runtime), maxRetryAfterMs, budget)
}

const DEFAULTS: RetryOptions = { attempts: 2, backoff: fullJitter(), maxRetryAfterMs: 5_000 }

/**
 * A call that was never sent may be sent until this many attempts are made. Each goes to another endpoint: with half of them gone, five
 * tries miss three calls in a hundred. More would only dial in a circle when the whole service is down, which the budget doesn't stop
 * here. gRPC caps its attempts at the same number (gRFC A6).
 */
const SAFE_ATTEMPTS = 5

class BudgetedRetry implements RetryPolicy {
  readonly #attempts: number
  readonly #backoff: Backoff
  readonly #maxRetryAfterMs: number
  readonly #budget: RetryBudget

  constructor(attempts: number, backoff: Backoff, maxRetryAfterMs: number, budget: RetryBudget) {
    this.#attempts = attempts
    this.#backoff = backoff
    this.#maxRetryAfterMs = maxRetryAfterMs
    this.#budget = budget
  }

  deposit(): void {
    this.#budget.deposit()
  }

  next(attempt: Attempt, verdict: Verdict, leftMs = Number.POSITIVE_INFINITY): number {
    switch (verdict.resend) {
      case 'never':
        return -1
      case 'safe':
        return verdict.outcome === 'overload'
          ? this.#nextElsewhere(attempt.number, leftMs)
          : this.#nextSafe(attempt.number, leftMs)
      case 'idempotent':
        return this.#nextIdempotent(attempt, verdict, leftMs)
    }
  }

  #nextSafe(number: number, leftMs: number): number {
    if (number >= SAFE_ATTEMPTS) return -1
    const waitMs = number === 1 ? 0 : this.#backoff(number - 1)
    return waitMs < leftMs ? waitMs : -1
  }

  /** Turned away for load: an overloaded service must not be flooded, so the budget pays, whatever the method. */
  #nextElsewhere(number: number, leftMs: number): number {
    if (number >= SAFE_ATTEMPTS) return -1
    const waitMs = this.#backoff(number)
    return waitMs < leftMs && this.#budget.withdraw() ? waitMs : -1
  }

  #nextIdempotent({ call, number }: Attempt, { retryAfterMs }: Verdict, leftMs: number): number {
    if (!call.idempotent || number >= this.#attempts) return -1
    if (retryAfterMs > this.#maxRetryAfterMs || isResent(call)) return -1
    const waitMs = Math.max(this.#backoff(number), retryAfterMs)
    // The budget comes last, because it takes.
    return waitMs < leftMs && this.#budget.withdraw() ? waitMs : -1
  }
}
