import type { Attributes, HistogramPoint, NumberPoint } from './family.ts'
import { type BucketHistogram, exportedBuckets, type Histogram } from './histogram.ts'
import type { StepHistogram } from './step-histogram.ts'
import type { ReasonList } from './traffic.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** Makes points of what was counted. Each series began in some period, but none before counting itself did. */
export class PointMaker {
  readonly #since: number

  /** @param since when counting began, in monotonic milliseconds */
  constructor(since: number) {
    this.#since = since
  }

  number(attributes: Attributes, period: number, value: number): NumberPoint {
    return { attributes, since: this.#startOf(period), value }
  }

  latency(attributes: Attributes, period: number, latency: Histogram): HistogramPoint {
    const buckets = exportedBuckets(latency.counts.totals())
    return { attributes, since: this.#startOf(period), buckets, sum: latency.sumMs / 1_000 }
  }

  durations(attributes: Attributes, period: number, durations: BucketHistogram): HistogramPoint {
    return { attributes, since: this.#startOf(period), buckets: [...durations.counts], sum: durations.sumMs / 1_000 }
  }

  /** @param unit how much of what was recorded is one of the exported unit: 1000 for milliseconds as seconds */
  steps(attributes: Attributes, period: number, steps: StepHistogram, unit = 1): HistogramPoint {
    return { attributes, since: this.#startOf(period), buckets: [...steps.counts], sum: steps.sum / unit }
  }

  /** One point a reason that ever occurred, with its outcome. */
  byReason(attributes: Attributes, period: number, ends: Float64Array, { words, outcomes }: ReasonList): NumberPoint[] {
    return counted(ends.subarray(0, words.length), (i, count) => {
      const reason = { 'mesh.outcome': outcomes[i] as string, 'mesh.reason': words[i] as string }
      return this.number({ ...attributes, ...reason }, period, count)
    })
  }

  #startOf(period: number): number {
    return Math.max(this.#since, period * PERIOD_MS)
  }
}

/** Only what was ever counted: most reasons never happen. */
export function counted(counts: Float64Array, pointOf: (index: number, count: number) => NumberPoint): NumberPoint[] {
  const points: NumberPoint[] = []
  counts.forEach((count, index) => {
    if (count > 0) points.push(pointOf(index, count))
  })
  return points
}
