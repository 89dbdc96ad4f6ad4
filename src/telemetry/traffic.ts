import { OK, type Outcome, REASONS, type Reason, type Verdict } from '../core/verdict.ts'
import { Histogram, SLOTS } from './histogram.ts'
import { WindowedCounters } from './windowed-counters.ts'

/** Calls or attempts of one kind: how many, what became of them, how long they took, and how many are under way. */
export class Traffic {
  inFlight = 0
  /** One counter a reason, in the order of REASONS, then `AGAIN`. */
  readonly ends: WindowedCounters
  /** Of all but the ignored: when the caller leaves, that says nothing of how long an answer takes. */
  readonly latency: Histogram

  constructor(period: number) {
    this.ends = new WindowedCounters(AGAIN + 1, period)
    this.latency = new Histogram(period)
  }

  /**
   * @param number of a call: how many attempts it took; of an attempt: its number, from 1
   */
  ended(reason: number, number: number, ms: number, period: number): void {
    this.inFlight--
    this.ends.add(reason, period)
    if (number > 1) this.ends.add(AGAIN, period)
    if (COUNTS[reason] === 1) this.latency.record(ms, period)
  }

  /** How many took, or were, more than a first attempt. */
  again(): number {
    return this.ends.totals()[AGAIN] as number
  }
}

/** Index of the counter of calls that took more than one attempt, or of attempts that were not the first. */
export const AGAIN: number = REASONS.length

/** What has expired, so that the sums over a service never go backwards. */
export class Ledger {
  readonly ends: Float64Array = new Float64Array(AGAIN + 1)
  readonly slots: Float64Array = new Float64Array(SLOTS)

  add(traffic: Traffic): void {
    addUp(this.ends, traffic.ends.totals())
    addUp(this.slots, traffic.latency.counts.totals())
  }
}

/** Adds one row of numbers to another. */
export function addUp(sum: Float64Array, more: Float64Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (more[i] ?? 0)
}

/** The index of a verdict's reason in REASONS. */
export function reasonIndex(verdict: Verdict): number {
  return verdict === OK ? 0 : (INDEXES.get(verdict.reason) as number)
}

/** A reason's outcome, which is always the same. */
export const OUTCOME_OF: Readonly<Record<Reason, Outcome>> = {
  ok: 'success',
  error_status: 'failure',
  unavailable: 'failure',
  overloaded: 'overload',
  connect_failed: 'failure',
  connect_timeout: 'failure',
  not_sent: 'failure',
  reset: 'failure',
  broken_off: 'failure',
  malformed: 'failure',
  try_timeout: 'failure',
  timeout: 'failure',
  answer_timeout: 'failure',
  cancelled: 'ignored',
  body_failed: 'ignored',
  no_endpoint: 'failure',
  refused: 'failure',
  breaker_open: 'failure',
  closed: 'ignored',
}

const INDEXES: ReadonlyMap<Reason, number> = new Map(REASONS.map((reason, i) => [reason, i]))
const COUNTS: Uint8Array = Uint8Array.from(REASONS, (reason) => (OUTCOME_OF[reason] === 'ignored' ? 0 : 1))
