import { BoundedSeries, type Expirable } from './bounded-series.ts'
import { BucketHistogram } from './histogram.ts'

/** Above every status. */
const STATUSES = 1_000

/** What a series of durations counts. */
export interface HttpEnd<R extends string> {
  /** What was asked, as a number that whoever counts gives a meaning. */
  readonly kind: number
  /** 0 for none. */
  readonly status: number
  readonly reason: R
}

/** Durations of HTTP messages by what was asked, how it ended and the status. One number is a series' whole name. */
export class HttpEnds<R extends string> {
  readonly series: BoundedSeries<number, HttpSeries>
  readonly #reasons: readonly R[]

  /**
   * @param limit how many combinations have a series of their own
   * @param reasons every reason there is; one is told by its index
   */
  constructor(limit: number, reasons: readonly R[]) {
    this.series = new BoundedSeries(limit, (key, period) => new HttpSeries(key ?? -1, period))
    this.#reasons = reasons
  }

  /** @param status 0 for none, and what is no status counts as none */
  record(kind: number, reason: number, status: number, ms: number, period: number): void {
    const key = (kind * this.#reasons.length + reason) * STATUSES + (status > 0 && status < STATUSES ? status : 0)
    const series = this.series.of(key, period)
    series.duration.record(ms)
    series.period = period
  }

  /** What a series counts; `overflow` is everything that found no room. */
  endOf({ key }: HttpSeries): HttpEnd<R> | 'overflow' {
    if (key < 0) return 'overflow'
    const rest = Math.floor(key / STATUSES)
    const { length } = this.#reasons
    return { kind: Math.floor(rest / length), status: key % STATUSES, reason: this.#reasons[rest % length] as R }
  }
}

/** Durations of messages that had the same end. */
export class HttpSeries implements Expirable {
  readonly key: number
  readonly since: number
  readonly duration: BucketHistogram = new BucketHistogram()
  readonly busy = false
  period: number
  expired = false

  constructor(key: number, period: number) {
    this.key = key
    this.since = period
    this.period = period
  }
}
