import { REASONS, type Reason } from '../core/verdict.ts'
import type { GoldenMetrics, MetricsReading, ServiceReading } from './golden-metrics.ts'
import { type BucketHistogram, exportedBuckets, type Histogram } from './histogram.ts'
import type { ServiceSeries } from './service-series.ts'
import { OUTCOME_OF } from './traffic.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** One metric and all of its series, as every export format needs it. Names, units and attributes: docs/metrics.md. */
export type Family = NumberFamily | HistogramFamily

export interface NumberFamily extends Described {
  /** `counter` only rises; `sum` rises and falls and may be added up over processes; `gauge` may not. */
  readonly kind: 'counter' | 'sum' | 'gauge'
  readonly points: readonly NumberPoint[]
}

export interface HistogramFamily extends Described {
  readonly kind: 'histogram'
  readonly points: readonly HistogramPoint[]
}

interface Described {
  readonly name: string
  readonly help: string
  /** UCUM: `s`, `{call}`. */
  readonly unit: string
}

export interface Point {
  readonly attributes: Attributes
  /** When counting began, in monotonic milliseconds. */
  readonly since: number
}

export interface NumberPoint extends Point {
  readonly value: number
}

export interface HistogramPoint extends Point {
  /** Not cumulative; one more than BUCKET_BOUNDS_S, the last for what exceeds them all. */
  readonly buckets: readonly number[]
  readonly sumS: number
}

export type Attributes = Readonly<Record<string, string | number | boolean>>

/** Everything that is counted, in export form. Idle series are given up afterwards. */
export function families(metrics: GoldenMetrics): Family[] {
  const reading = metrics.read()
  const read = new Read(reading, metrics.since)
  return [
    histogram('http.client.request.duration', 'Duration of HTTP client requests.', read.http()),
    counter('mesh.client.calls', 'Calls that ended, by what their callers saw.', 'call', read.calls()),
    histogram('mesh.client.call.duration', 'From the call to the last byte of its answer or its error.', read.callDurations()),
    sum('mesh.client.active_calls', 'Calls under way.', 'call', read.activeCalls()),
    counter('mesh.client.responses', 'Calls that ended, by the class of the status the caller saw.', 'call', read.statuses()),
    counter('mesh.client.retried_calls', 'Calls that took more than one attempt.', 'call', read.retriedCalls()),
    counter('mesh.client.retries', 'Attempts that were not the first of their call.', 'attempt', read.retries()),
    counter('mesh.client.route.attempts', 'Attempts that ended, by route.', 'attempt', read.routeAttempts()),
    counter('mesh.client.attempts', 'Attempts that ended, by endpoint.', 'attempt', read.attempts()),
    histogram('mesh.client.attempt.duration', 'From the attempt to the last byte or the failure.', read.attemptDurations()),
    histogram('mesh.client.attempt.time_to_head', "From the attempt to the answer's head or the failure.", read.timesToHead()),
    sum('mesh.client.active_attempts', 'Attempts under way.', 'attempt', read.activeAttempts()),
    gauge('mesh.client.retry_budget', 'Further attempts that could be paid for now.', 'attempt', read.budgets()),
    sum('mesh.client.endpoints', 'Endpoints by state.', 'endpoint', read.endpoints()),
    counter('mesh.client.egress.calls', 'Calls to hosts outside the mesh, passed through.', 'call', read.egress()),
  ]
}

function histogram(name: string, help: string, points: HistogramPoint[]): HistogramFamily {
  return { kind: 'histogram', name, help, unit: 's', points }
}

function counter(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'counter', name, help, unit: `{${what}}`, points }
}

function sum(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'sum', name, help, unit: `{${what}}`, points }
}

function gauge(name: string, help: string, what: string, points: NumberPoint[]): NumberFamily {
  return { kind: 'gauge', name, help, unit: `{${what}}`, points }
}

/** A reading as points. */
class Read {
  readonly #reading: MetricsReading
  readonly #since: number

  constructor(reading: MetricsReading, since: number) {
    this.#reading = reading
    this.#since = since
  }

  http(): HistogramPoint[] {
    return this.#reading.services.flatMap(({ series }) =>
      [...series.http.series.values()].map((http) => this.#durations(httpAttributes(series, http), http.since, http.duration)),
    )
  }

  calls(): NumberPoint[] {
    return this.#routes((r, attributes) => this.#byReason(attributes, r.since, r.calls.ends.totals()))
  }

  callDurations(): HistogramPoint[] {
    return this.#routes((r, attributes) => [this.#latency(attributes, r.since, r.calls.latency)])
  }

  activeCalls(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#number(attributes, r.since, r.calls.inFlight)])
  }

  statuses(): NumberPoint[] {
    return this.#routes((r, attributes) =>
      this.#counted(r.statuses, (digit, count) =>
        this.#number({ ...attributes, 'mesh.status_class': digit === 0 ? 'none' : `${digit}xx` }, r.since, count),
      ),
    )
  }

  retriedCalls(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#number(attributes, r.since, r.calls.again())])
  }

  retries(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#number(attributes, r.since, r.retries)])
  }

  routeAttempts(): NumberPoint[] {
    return this.#routes((r, attributes) => this.#byReason(attributes, r.since, r.attempts))
  }

  attempts(): NumberPoint[] {
    return this.#endpoints((e, attributes) => this.#byReason(attributes, e.since, e.attempts.ends.totals()))
  }

  attemptDurations(): HistogramPoint[] {
    return this.#endpoints((e, attributes) => [this.#durations(attributes, e.since, e.whole)])
  }

  timesToHead(): HistogramPoint[] {
    return this.#endpoints((e, attributes) => [this.#latency(attributes, e.since, e.attempts.latency)])
  }

  activeAttempts(): NumberPoint[] {
    return this.#endpoints((e, attributes) => [this.#number(attributes, e.since, e.attempts.inFlight)])
  }

  budgets(): NumberPoint[] {
    return this.#open().map((s) => ({ attributes: { 'mesh.service': s.name }, since: s.since, value: s.service.budget.balance }))
  }

  endpoints(): NumberPoint[] {
    return this.#open().flatMap((s) => {
      const { total, ready, shut } = s.service.counts
      return Object.entries({ ready: total - shut, forced: ready + shut - total, ejected: total - ready }).map(
        ([state, value]) => ({
          attributes: { 'mesh.service': s.name, 'mesh.endpoint.state': state },
          since: s.since,
          value,
        }),
      )
    })
  }

  egress(): NumberPoint[] {
    return this.#reading.egress.map((e) =>
      this.#number(e.host === undefined ? OVERFLOW : { 'mesh.destination': e.host }, e.since, e.calls),
    )
  }

  #open(): ServiceSeries[] {
    return this.#reading.services.map((s) => s.series).filter((s) => !s.closed)
  }

  #routes<P>(pointsOf: (route: ServiceReading['routes'][number], attributes: Attributes) => P[]): P[] {
    return this.#reading.services.flatMap(({ series, routes }) =>
      routes.flatMap((r) =>
        pointsOf(r, { 'mesh.service': series.name, ...(r.name === undefined ? OVERFLOW : { 'mesh.route': r.name }) }),
      ),
    )
  }

  #endpoints<P>(pointsOf: (endpoint: ServiceReading['endpoints'][number], attributes: Attributes) => P[]): P[] {
    return this.#reading.services.flatMap(({ series, endpoints }) =>
      endpoints.flatMap((e) => pointsOf(e, { 'mesh.service': series.name, ...endpointAttributes(e.name, e.zone) })),
    )
  }

  #byReason(attributes: Attributes, since: number, ends: Float64Array): NumberPoint[] {
    return this.#counted(ends.subarray(0, REASONS.length), (i, count) => {
      const reason = REASONS[i] as Reason
      return this.#number({ ...attributes, 'mesh.outcome': OUTCOME_OF[reason], 'mesh.reason': reason }, since, count)
    })
  }

  /** Only what was ever counted: most reasons never happen. */
  #counted(counts: Float64Array, pointOf: (index: number, count: number) => NumberPoint): NumberPoint[] {
    const points: NumberPoint[] = []
    counts.forEach((count, index) => {
      if (count > 0) points.push(pointOf(index, count))
    })
    return points
  }

  #number(attributes: Attributes, period: number, value: number): NumberPoint {
    return { attributes, since: this.#startOf(period), value }
  }

  #latency(attributes: Attributes, period: number, latency: Histogram): HistogramPoint {
    const buckets = exportedBuckets(latency.counts.totals())
    return { attributes, since: this.#startOf(period), buckets, sumS: latency.sumMs / 1_000 }
  }

  #durations(attributes: Attributes, period: number, durations: BucketHistogram): HistogramPoint {
    return { attributes, since: this.#startOf(period), buckets: [...durations.counts], sumS: durations.sumMs / 1_000 }
  }

  #startOf(period: number): number {
    return Math.max(this.#since, period * PERIOD_MS)
  }
}

/** How OpenTelemetry marks the series of what exceeded a limit. */
const OVERFLOW: Attributes = { 'otel.metric.overflow': true }

function endpointAttributes(name: string | undefined, zone: string | undefined): Attributes {
  if (name === undefined) return OVERFLOW
  return zone === undefined ? { 'mesh.endpoint': name } : { 'mesh.endpoint': name, 'mesh.zone': zone }
}

/** The origin is the name that the application wrote, not the endpoint that was picked. */
function httpAttributes(service: ServiceSeries, http: Parameters<ServiceSeries['http']['nameOf']>[0]): Attributes {
  const [, address = service.name, port = service.port] = ORIGIN.exec(service.name) ?? []
  const origin = { 'server.address': address, 'server.port': Number(port || DEFAULT_PORT), 'mesh.service': service.name }
  const name = service.http.nameOf(http)
  if (name === 'overflow') return { ...origin, ...OVERFLOW }
  return {
    ...origin,
    'http.request.method': name.method,
    ...(name.status > 0 && { 'http.response.status_code': name.status }),
    ...(name.error !== undefined && { 'error.type': name.error }),
  }
}

/** A host name, an address or a bracketed IPv6 address, and its port. */
const ORIGIN = /^\[?(.+?)\]?:(\d+)$/
/** The application speaks plain `http` to the mesh, which adds the encryption. */
const DEFAULT_PORT = 80
