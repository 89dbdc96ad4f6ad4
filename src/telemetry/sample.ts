import { quantile, SLOTS } from './histogram.ts'
import { CALL_REASONS, type ReasonList } from './traffic.ts'

/** Traffic of one kind over a length of time. JSON-able, and can be added to another process's. */
export interface Sample {
  /** How long it covers, in milliseconds; what `rps` was divided by. */
  readonly periodMs: number
  readonly total: number
  readonly success: number
  /** Overload included. */
  readonly failure: number
  /** The caller left, or its own body failed: says nothing of the service. */
  readonly ignored: number
  /** Calls that took more than one attempt; attempts, or requests that came in, that were not a call's first. */
  readonly retries: number
  /** Successes among successes and failures, 0 to 1; null when there was neither. */
  readonly successRate: number | null
  /** Per second. */
  readonly rps: number
  /** Within 3 %; null when nothing was measured. */
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  /** Why they ended: only reasons that occurred. */
  readonly reasons: Readonly<Record<string, number>>
  /** What the percentiles were taken from: pairs of slot and count, for `addSamples`. */
  readonly slots: readonly (readonly [slot: number, count: number])[]
}

/**
 * @param ends one counter a reason and that of retries, as `Traffic` has them
 * @param slots one counter a slot, as `Histogram` has them
 */
export function sampleOf(ends: Float64Array, slots: Float64Array, periodMs: number, list: ReasonList = CALL_REASONS): Sample {
  const reasons: Record<string, number> = {}
  const outcomes = { success: 0, failure: 0, overload: 0, ignored: 0 }
  list.words.forEach((reason, i) => {
    const count = ends[i] as number
    if (count === 0) return
    reasons[reason] = count
    outcomes[list.outcomes[i] as keyof typeof outcomes] += count
  })
  const { success, ignored } = outcomes
  const failure = outcomes.failure + outcomes.overload
  const total = success + failure + ignored
  const counts = { periodMs, total, success, failure, ignored, retries: ends[list.words.length] as number, reasons }
  return { ...counts, ...percentiles(slots), successRate: rate(success, failure), rps: perSecond(total, periodMs) }
}

/** What several processes saw, as if one had seen it: rates add up, percentiles are those of all latencies together. */
export function addSamples(samples: readonly Sample[]): Sample {
  const slots = new Float64Array(SLOTS)
  const reasons: Record<string, number> = {}
  const sums = { total: 0, success: 0, failure: 0, ignored: 0, retries: 0, rps: 0 }
  let periodMs = 0
  for (const sample of samples) {
    periodMs = Math.max(periodMs, sample.periodMs)
    for (const key of Object.keys(sums) as (keyof typeof sums)[]) sums[key] += sample[key]
    for (const [reason, count] of Object.entries(sample.reasons)) reasons[reason] = (reasons[reason] ?? 0) + count
    for (const [slot, count] of sample.slots) if (slot in slots) slots[slot] = (slots[slot] as number) + count
  }
  return { ...sums, periodMs, reasons, ...percentiles(slots), successRate: rate(sums.success, sums.failure) }
}

function percentiles(counts: Float64Array): Pick<Sample, 'p50Ms' | 'p95Ms' | 'p99Ms' | 'slots'> {
  const slots: [number, number][] = []
  for (let slot = 0; slot < counts.length; slot++) {
    const count = counts[slot] as number
    if (count > 0) slots.push([slot, count])
  }
  return { p50Ms: quantile(counts, 0.5), p95Ms: quantile(counts, 0.95), p99Ms: quantile(counts, 0.99), slots }
}

function rate(success: number, failure: number): number | null {
  return success + failure === 0 ? null : success / (success + failure)
}

function perSecond(total: number, periodMs: number): number {
  return periodMs > 0 ? (total * 1_000) / periodMs : 0
}
