import type { Runtime } from './clock.ts'
import type { Verdict } from './verdict.ts'

/**
 * Decides whether an attempt may go to an endpoint: breaker, limiter, bulkhead. One gate an endpoint. Each `acquire`
 * that answered true is followed by `judge` and then exactly one `release`.
 */
export interface Gate {
  /** Asks for a permit. Never waits. */
  acquire(now: number): boolean
  /**
   * Learns what became of an admitted attempt, as soon as it is known: at the answer's head or at the failure. Called
   * once more with a failure if an answer that began well breaks off.
   */
  judge(now: number, verdict: Verdict): void
  /** Gives the permit back; exactly once. */
  release(now: number): void
  /**
   * Until when `acquire` is sure to refuse, in monotonic milliseconds: 0 or a past time when it may admit, Infinity
   * while a probe is out. Read after each `acquire` and `judge`: a shut endpoint is taken out of the balancer's sight, so that a
   * pick never scans for an open one.
   */
  readonly shutUntil: number
}

export type GateFactory = (runtime: Runtime) => Gate

/** Admits everything. */
export const openGate: Gate = {
  acquire: () => true,
  judge() {},
  release() {},
  shutUntil: 0,
}
