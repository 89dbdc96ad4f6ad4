import type { Attempt } from './attempt.ts'
import type { Runtime } from './clock.ts'
import type { Verdict } from './verdict.ts'

/** Decides whether and when a failed attempt is followed by another. One policy a route; its budget is the service's. */
export interface RetryPolicy {
  /** A call begins: it pays into the budget. */
  deposit(): void
  /**
   * Asked once after each failed attempt. A wait that is granted has been paid for.
   *
   * @param leftMs until the call's time is spent; a wait as long as that is not granted. Default: no limit
   * @returns milliseconds to wait before the next attempt, or -1 for no further attempt
   */
  next(attempt: Attempt, verdict: Verdict, leftMs?: number): number
}

/** How much resending a service still allows; shared by all of its routes and doors. */
export interface RetryBudget {
  /** A call begins. */
  deposit(): void
  /** Takes the price of one more attempt, or answers false and takes nothing. */
  withdraw(): boolean
  /** How many further attempts could be paid for now. */
  readonly balance: number
}

export type RetryPolicyFactory = (runtime: Runtime, budget: RetryBudget) => RetryPolicy
export type RetryBudgetFactory = (runtime: Runtime) => RetryBudget

/** Sends nothing twice. */
export const noRetry: RetryPolicy = {
  deposit() {},
  next: () => -1,
}
