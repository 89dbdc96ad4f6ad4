import {
  type Attributes,
  counter,
  type Family,
  gauge,
  type HistogramPoint,
  histogram,
  type NumberPoint,
  OVERFLOW,
  sum,
} from './family.ts'
import type { GoldenMetrics, MetricsReading, ServiceReading } from './golden-metrics.ts'
import type { HttpSeries } from './http-ends.ts'
import { inboundFamilies } from './inbound-families.ts'
import { originAttributes } from './origin.ts'
import { counted, PointMaker } from './point-maker.ts'
import { rpcFamilies } from './rpc-families.ts'
import { SENT_BY, type ServiceSeries } from './service-series.ts'
import { tlsFamilies } from './tls-families.ts'
import { CALL_REASONS } from './traffic.ts'

/** Everything that is counted, in export form. Idle series are given up afterwards. */
export function families(metrics: GoldenMetrics): Family[] {
  const reading = metrics.read()
  const make = new PointMaker(metrics.since)
  return [
    ...clientFamilies(new Read(reading, make)),
    ...rpcFamilies(reading, make),
    ...inboundFamilies(reading.inbound, make),
    ...tlsFamilies(metrics.tls.read(), metrics.since),
  ]
}

function clientFamilies(read: Read): Family[] {
  return [
    histogram('http.client.request.duration', 'Duration of HTTP client requests.', read.http()),
    counter('mesh.client.calls', 'Calls that ended, by what their callers saw.', 'call', read.calls()),
    histogram('mesh.client.call.duration', 'From the call to the last byte of its answer or its error.', read.callDurations()),
    sum('mesh.client.active_calls', 'Calls under way.', 'call', read.activeCalls()),
    counter('mesh.client.responses', 'Calls that ended, by the class of the status the caller saw.', 'call', read.statuses()),
    counter('mesh.client.retried_calls', 'Calls that took more than one attempt.', 'call', read.retriedCalls()),
    counter('mesh.client.retries', 'Attempts that were not the first of their call.', 'attempt', read.retries()),
    counter('mesh.client.hedges', 'Attempts that were sent beside others of their call.', 'attempt', read.hedges()),
    counter('mesh.client.route.attempts', 'Attempts that ended, by route.', 'attempt', read.routeAttempts()),
    counter('mesh.client.attempts', 'Attempts that ended, by endpoint.', 'attempt', read.attempts()),
    counter('mesh.client.security.attempts', 'Attempts that ended, by how they were sent.', 'attempt', read.security()),
    histogram('mesh.client.attempt.duration', 'From the attempt to the last byte or the failure.', read.attemptDurations()),
    histogram('mesh.client.attempt.time_to_head', "From the attempt to the answer's head or the failure.", read.timesToHead()),
    sum('mesh.client.active_attempts', 'Attempts under way.', 'attempt', read.activeAttempts()),
    gauge('mesh.client.retry_budget', 'Further attempts that could be paid for now.', 'attempt', read.budgets()),
    sum('mesh.client.endpoints', 'Endpoints by state.', 'endpoint', read.endpoints()),
    counter('mesh.client.egress.calls', 'Calls to hosts outside the mesh, passed through.', 'call', read.egress()),
  ]
}

/** A reading as points. */
class Read {
  readonly #reading: MetricsReading
  readonly #make: PointMaker

  constructor(reading: MetricsReading, make: PointMaker) {
    this.#reading = reading
    this.#make = make
  }

  http(): HistogramPoint[] {
    return this.#reading.services.flatMap(({ series }) =>
      [...series.http.series.values()].map((http) =>
        this.#make.durations(httpAttributes(series, http), http.since, http.duration),
      ),
    )
  }

  calls(): NumberPoint[] {
    return this.#routes((r, attributes) => this.#make.byReason(attributes, r.since, r.calls.ends.totals(), CALL_REASONS))
  }

  callDurations(): HistogramPoint[] {
    return this.#routes((r, attributes) => [this.#make.latency(attributes, r.since, r.calls.latency)])
  }

  activeCalls(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#make.number(attributes, r.since, r.calls.inFlight)])
  }

  statuses(): NumberPoint[] {
    return this.#routes((r, attributes) =>
      counted(r.statuses, (digit, count) =>
        this.#make.number({ ...attributes, 'mesh.status_class': digit === 0 ? 'none' : `${digit}xx` }, r.since, count),
      ),
    )
  }

  retriedCalls(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#make.number(attributes, r.since, r.calls.again())])
  }

  retries(): NumberPoint[] {
    return this.#routes((r, attributes) => [this.#make.number(attributes, r.since, r.retries)])
  }

  hedges(): NumberPoint[] {
    return this.#routes((r, attributes) => (r.hedges > 0 ? [this.#make.number(attributes, r.since, r.hedges)] : []))
  }

  routeAttempts(): NumberPoint[] {
    return this.#routes((r, attributes) => this.#make.byReason(attributes, r.since, r.attempts, CALL_REASONS))
  }

  attempts(): NumberPoint[] {
    return this.#endpoints((e, attributes) => this.#make.byReason(attributes, e.since, e.attempts.ends.totals(), CALL_REASONS))
  }

  security(): NumberPoint[] {
    return this.#reading.services.flatMap(({ series }) =>
      counted(series.security, (i, value) => ({
        attributes: { 'mesh.service': series.name, 'mesh.security': SENT_BY[i] as string },
        since: series.since,
        value,
      })),
    )
  }

  attemptDurations(): HistogramPoint[] {
    return this.#endpoints((e, attributes) => [this.#make.durations(attributes, e.since, e.whole)])
  }

  timesToHead(): HistogramPoint[] {
    return this.#endpoints((e, attributes) => [this.#make.latency(attributes, e.since, e.attempts.latency)])
  }

  activeAttempts(): NumberPoint[] {
    return this.#endpoints((e, attributes) => [this.#make.number(attributes, e.since, e.attempts.inFlight)])
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
      this.#make.number(e.host === undefined ? OVERFLOW : { 'mesh.destination': e.host }, e.since, e.calls),
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
}

function endpointAttributes(name: string | undefined, zone: string | undefined): Attributes {
  if (name === undefined) return OVERFLOW
  return zone === undefined ? { 'mesh.endpoint': name } : { 'mesh.endpoint': name, 'mesh.zone': zone }
}

/** The origin is what the application wrote, not the endpoint that was picked. */
function httpAttributes(service: ServiceSeries, http: HttpSeries): Attributes {
  const of = { 'mesh.service': service.name }
  const name = service.http.nameOf(http)
  if (name === 'overflow') return { ...of, ...OVERFLOW }
  return {
    ...(name.origin === undefined ? OVERFLOW : originAttributes(name.origin)),
    ...of,
    'http.request.method': name.method,
    ...(name.status > 0 && { 'http.response.status_code': name.status }),
    ...(name.error !== undefined && { 'error.type': name.error }),
  }
}
