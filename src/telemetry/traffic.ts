import { OK, type Outcome, REASONS, type Reason, type Verdict } from '../core/verdict.ts'
import { Histogram, SLOTS } from './histogram.ts'
import { WindowedCounters } from './windowed-counters.ts'

/** A closed list of reasons, in the order of their counters. */
export interface ReasonList {
  readonly words: readonly string[]
  readonly outcomes: readonly Outcome[]
  /** 1 where the time it took says how long an answer takes. */
  readonly timed: Uint8Array
}

/** Calls, attempts or requests of one kind: how many, what became of them, how long they took, and how many are under way. */
export class Traffic {
  inFlight = 0
  /** One counter a reason, in the order of the list, then that of what was sent again. */
  readonly ends: WindowedCounters
  /** Of all but the ignored: when the caller leaves, that says nothing of how long an answer takes. */
  readonly latency: Histogram
  readonly #again: number
  readonly #timed: Uint8Array

  constructor(period: number, reasons: ReasonList = CALL_REASONS) {
    this.#again = reasons.words.length
    this.#timed = reasons.timed
    this.ends = new WindowedCounters(this.#again + 1, period)
    this.latency = new Histogram(period)
  }

  /** One that was under way is over. For the parameters see `count`. */
  ended(reason: number, number: number, ms: number, period: number): void {
    this.inFlight--
    this.count(reason, number, ms, period)
  }

  /**
   * @param reason its index in the list
   * @param number of a call: how many attempts it took; of an attempt or a request: its number, from 1
   */
  count(reason: number, number: number, ms: number, period: number): void {
    this.ends.add(reason, period)
    if (number > 1) this.ends.add(this.#again, period)
    if (this.#timed[reason] === 1) this.latency.record(ms, period)
  }

  /** How many took, or were, more than a first attempt. */
  again(): number {
    return this.ends.totals()[this.#again] as number
  }
}

/** Index of the counter of calls that took more than one attempt, or of attempts that were not the first. */
export const AGAIN: number = REASONS.length

/** What has expired, so that the sums over a service never go backwards. */
export class Ledger {
  readonly ends: Float64Array
  readonly slots: Float64Array = new Float64Array(SLOTS)

  constructor(reasons: ReasonList = CALL_REASONS) {
    this.ends = new Float64Array(reasons.words.length + 1)
  }

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

/** Those of calls and attempts. */
export const CALL_REASONS: ReasonList = {
  words: REASONS,
  outcomes: REASONS.map((reason) => OUTCOME_OF[reason]),
  timed: Uint8Array.from(REASONS, (reason) => (OUTCOME_OF[reason] === 'ignored' ? 0 : 1)),
}
