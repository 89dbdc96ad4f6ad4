import { SLOTS } from './histogram.ts'
import { sampleOf } from './sample.ts'
import type { SpanStats, TrafficStats } from './stats.ts'
import { addUp, CALL_REASONS, Ledger, type ReasonList, type Traffic } from './traffic.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** A reading's two lengths of time. */
export class StatsWindow {
  readonly now: number
  readonly #period: number
  readonly #wholeMs: number
  readonly #recentMs: number

  /** @param period the current one */
  constructor({ now, period }: { readonly now: number; readonly period: number }, uptimeMs: number) {
    this.now = now
    this.#period = period
    this.#wholeMs = uptimeMs
    this.#recentMs = Math.min(uptimeMs, now - (period - 1) * PERIOD_MS)
  }

  traffic(parts: readonly Traffic[], expired?: Ledger): TrafficStats {
    const inFlight = parts.reduce((sum, part) => sum + part.inFlight, 0)
    return { inFlight, ...this.span(parts, expired) }
  }

  /** @param expired what once was a part */
  span(parts: readonly Traffic[], expired?: Ledger, reasons: ReasonList = CALL_REASONS): SpanStats {
    const whole = new Ledger(reasons)
    if (expired !== undefined) {
      addUp(whole.ends, expired.ends)
      addUp(whole.slots, expired.slots)
    }
    const recentEnds = new Float64Array(whole.ends.length)
    const recentSlots = new Float64Array(SLOTS)
    for (const part of parts) {
      whole.add(part)
      addUp(recentEnds, part.ends.recent(this.#period))
      addUp(recentSlots, part.latency.counts.recent(this.#period))
    }
    const recent = sampleOf(recentEnds, recentSlots, this.#recentMs, reasons)
    return { ...sampleOf(whole.ends, whole.slots, this.#wholeMs, reasons), recent }
  }
}
