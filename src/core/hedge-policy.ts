import type { Call } from './call.ts'
import type { Runtime } from './clock.ts'
import type { RetryBudget } from './retry-policy.ts'

/**
 * Decides whether and when a call that waits for its answer is sent to one more endpoint, beside the first. One policy a route; its budget
 * is the service's, the same that pays for resending.
 */
export interface HedgePolicy {
  /** Whether a call may be hedged at all. Asked once a call, when its first attempt begins. */
  covers(call: Call): boolean
  /**
   * How long the answer's head may take before one more attempt is sent, in milliseconds; -1 for never.
   *
   * @param attempts how many the call has made so far, 1 or more
   */
  delayMs(attempts: number): number
  /** Takes the price of one more attempt, or answers false and takes nothing. */
  withdraw(): boolean
  /**
   * The first attempt of a covered call had its answer's head after so many milliseconds, or was given up after that time, as another's was
   * there before or it had taken too long: its answer would have taken longer still.
   */
  observe(elapsedMs: number): void
}

export type HedgePolicyFactory = (runtime: Runtime, budget: RetryBudget) => HedgePolicy
