import type { Call } from './call.ts'
import type { HedgePolicy } from './hedge-policy.ts'
import type { RetryPolicy } from './retry-policy.ts'
import type { Service } from './service.ts'

/** What a kind of call is entitled to, and which service answers it. */
export interface Route {
  /** Unique within the service; `default` for what no rule names. */
  readonly name: string
  readonly service: Service
  readonly retry: RetryPolicy
  /** Off when undefined. */
  readonly hedge?: HedgePolicy | undefined
  /** From the call to the end of its answer, in milliseconds; 0 for no limit. */
  readonly timeoutMs: number
  /** From an attempt's start to the head of its answer, in milliseconds; 0 for no limit. */
  readonly perTryTimeoutMs: number
}

/** The routes of one authority. */
export interface RouteTable {
  readonly service: Service
  /** The service was closed to make room for others: who holds the table asks the router again. Set by the router alone, and never taken back. */
  forgotten?: boolean
  /** The route of a call to it; `default` when no rule matches. Runs per call. */
  route(call: Call): Route
}

/** Knows which authorities are ours. */
export interface Router {
  /**
   * The routes of an authority. Doors keep the answer until it is `forgotten`.
   *
   * @param authority host and, if it is not the scheme's default, port; lower case
   * @param secure whether the call is https
   * @returns undefined: not ours, pass it through untouched
   */
  table(authority: string, secure: boolean): RouteTable | undefined
}
