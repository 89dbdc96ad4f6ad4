import { REASONS, type Reason } from '../core/verdict.ts'
import { BoundedSeries, type Expirable } from './bounded-series.ts'
import { BucketHistogram } from './histogram.ts'

/** Combinations of method, status and error per service that have a series of their own. */
const MAX_HTTP_SERIES = 200
/** Above every status. */
const STATUSES = 1_000

/** The methods of RFC 9110 and PATCH: what OpenTelemetry's HTTP conventions know by default. */
export const KNOWN_METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']

/** The indexes of known methods; a method that is not known has none and counts as `_OTHER`. */
export type MethodIndexes = ReadonlyMap<string, number>

/** Durations of the requests sent to one service, by method, status and error. One number is a series' whole name. */
export class HttpDurations {
  readonly series: BoundedSeries<number, HttpSeries>
  readonly #methods: MethodIndexes

  constructor(methods: MethodIndexes) {
    this.#methods = methods
    this.series = new BoundedSeries(MAX_HTTP_SERIES, (key, period) => new HttpSeries(key ?? -1, period))
  }

  /**
   * @param status 0 when none was received
   * @param reason the verdict's index in REASONS
   */
  record(method: string, status: number, reason: number, ms: number, period: number): void {
    const error = status > 0 && TOLD_BY_STATUS[reason] === 1 ? 0 : reason
    const known = this.#methods.get(method) ?? this.#methods.size
    const key = (known * REASONS.length + error) * STATUSES + (status < STATUSES ? status : 0)
    const series = this.series.of(key, period)
    series.duration.record(ms)
    series.period = period
  }

  /** What a series counts; `overflow` is everything that found no room. */
  nameOf(series: HttpSeries): HttpName | 'overflow' {
    if (series.key < 0) return 'overflow'
    const status = series.key % STATUSES
    const rest = Math.floor(series.key / STATUSES)
    const method = [...this.#methods.keys()][Math.floor(rest / REASONS.length)] ?? '_OTHER'
    const reason = REASONS[rest % REASONS.length] as Reason
    if (reason !== 'ok') return { method, status, error: reason }
    return { method, status, error: status >= 400 ? String(status) : undefined }
  }
}

export interface HttpName {
  /** `_OTHER` when not known. */
  readonly method: string
  /** 0 when none was received. */
  readonly status: number
  /** The reason or, when the answer's status is the error, the status; undefined when all is well. */
  readonly error: string | undefined
}

class HttpSeries implements Expirable {
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

/** @param methods upper case, as they are sent */
export function methodIndexes(methods: readonly string[]): MethodIndexes {
  return new Map(methods.map((method, i) => [method, i]))
}

/** Reasons that a status alone explains. */
const TOLD_BY_STATUS: Uint8Array = Uint8Array.from(REASONS, (reason) =>
  reason === 'ok' || reason === 'error_status' || reason === 'unavailable' || reason === 'overloaded' ? 1 : 0,
)
