import type { Verdict } from './verdict.ts'

/**
 * How busy or slow an endpoint is, as one number a balancer can compare. One meter an endpoint. For each attempt
 * `start`, then at most one `sample`, then `end`, in this order.
 */
export interface LoadMeter {
  /** The price of sending one more attempt now; lower is better, 0 or more, finite. */
  cost(now: number): number
  /** An attempt begins. */
  start(now: number): void
  /**
   * The answer's head is there, or the attempt failed.
   *
   * @param elapsedMs from start to now, less the time this process itself was stalled
   * @param verdict a failure must cost, or a fast-failing endpoint attracts traffic
   */
  sample(now: number, elapsedMs: number, verdict: Verdict): void
  /** The attempt is over; its answer was read to the end, or broke off. */
  end(now: number): void
  /**
   * The endpoint's server said how busy it is; absent in a meter that has no use for it. May come at any time, also after `end`, and from
   * a server that lies: no report may make an endpoint draw everything, or nothing.
   *
   * @param utilization above 0, finite; 1 is full, more is possible
   */
  report?(now: number, utilization: number): void
}

/** Measures nothing, for balancers that do not compare. */
export const unmetered: LoadMeter = {
  cost: () => 0,
  start() {},
  sample() {},
  end() {},
}
