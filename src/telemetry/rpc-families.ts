import {
  type Attributes,
  counter,
  type Family,
  type HistogramFamily,
  type HistogramPoint,
  histogram,
  type NumberPoint,
} from './family.ts'
import type { MetricsReading } from './golden-metrics.ts'
import { GRPC_BOUNDS_S } from './grpc-durations.ts'
import { type MethodSeries, methodName, OTHER_METHOD, RETRY_BOUNDS, TRANSPARENT_RETRY_BOUNDS } from './method-series.ts'
import { originAttributes, originOf } from './origin.ts'
import type { PointMaker } from './point-maker.ts'
import type { ServiceSeries } from './service-series.ts'

/** The gRPC calls of this process: OpenTelemetry's metric (release candidate) and gRPC's own (gRFC A66, A91, A96). */
export function rpcFamilies(reading: MetricsReading, make: PointMaker): Family[] {
  const read = new Read(reading, make)
  return [
    histogram('rpc.client.call.duration', 'Duration of outgoing RPCs.', read.calls()),
    counter('grpc.client.attempt.started', 'Attempts that began.', 'attempt', read.started()),
    histogram('grpc.client.attempt.duration', 'From the attempt to its status.', read.attemptDurations(), GRPC_BOUNDS_S),
    histogram('grpc.client.call.duration', 'From the call to its status.', read.callDurations(), GRPC_BOUNDS_S),
    counts('grpc.client.call.retries', 'Attempts of a call that were not its first, where there were any.', 'retry', {
      points: read.retries(),
      bounds: RETRY_BOUNDS,
    }),
    counts(
      'grpc.client.call.transparent_retries',
      'Attempts after one that no server saw, where there were any.',
      'transparent_retry',
      {
        points: read.transparentRetries(),
        bounds: TRANSPARENT_RETRY_BOUNDS,
      },
    ),
    counts('grpc.client.call.hedges', 'Attempts sent beside others of their call, where there were any.', 'hedge', {
      points: read.hedges(),
      bounds: RETRY_BOUNDS,
    }),
    counter('grpc.lb.outlier_detection.ejections_enforced', 'Ejections of endpoints.', 'ejection', read.enforced()),
    counter(
      'grpc.lb.outlier_detection.ejections_unenforced',
      'Ejections that came to nothing, as too many of the service were out.',
      'ejection',
      read.unenforced(),
    ),
  ]
}

function counts(
  name: string,
  help: string,
  what: string,
  { points, bounds }: Pick<HistogramFamily, 'points' | 'bounds'>,
): HistogramFamily {
  return { kind: 'histogram', name, help, unit: `{${what}}`, bounds, points }
}

/** A reading as points. */
class Read {
  readonly #services: readonly ServiceSeries[]
  readonly #make: PointMaker

  constructor({ services }: MetricsReading, make: PointMaker) {
    this.#services = services.map(({ series }) => series).filter(({ grpc }) => grpc.series.size > 0 || grpc.series.overflow)
    this.#make = make
  }

  calls(): HistogramPoint[] {
    return this.#methods((m, service) =>
      m.conventional.map((code, durations) => this.#make.durations(callAttributes(service, m, code), m.since, durations)),
    )
  }

  started(): NumberPoint[] {
    return this.#methods((m, service) => [this.#make.number(grpcAttributes(service, m), m.since, m.started)])
  }

  attemptDurations(): HistogramPoint[] {
    return this.#methods((m, service) =>
      m.attempts.map((code, d) => this.#make.steps({ ...grpcAttributes(service, m), 'grpc.status': code }, m.since, d, 1_000)),
    )
  }

  callDurations(): HistogramPoint[] {
    return this.#methods((m, service) =>
      m.calls.map((code, d) => this.#make.steps({ ...grpcAttributes(service, m), 'grpc.status': code }, m.since, d, 1_000)),
    )
  }

  retries(): HistogramPoint[] {
    return this.#methods((m, service) => [this.#make.steps(grpcAttributes(service, m), m.since, m.retries)]).filter(hasCounted)
  }

  transparentRetries(): HistogramPoint[] {
    return this.#methods((m, service) => [this.#make.steps(grpcAttributes(service, m), m.since, m.transparentRetries)]).filter(
      hasCounted,
    )
  }

  hedges(): HistogramPoint[] {
    return this.#methods((m, service) => [this.#make.steps(grpcAttributes(service, m), m.since, m.hedges)]).filter(hasCounted)
  }

  enforced(): NumberPoint[] {
    return this.#services
      .filter(({ ejections }) => ejections.enforced > 0)
      .map((service) => ({ attributes: targetOf(service), since: service.since, value: service.ejections.enforced }))
  }

  unenforced(): NumberPoint[] {
    const why = { 'grpc.lb.outlier_detection.unenforced_reason': 'max_ejection_overflow' }
    return this.#services
      .filter(({ ejections }) => ejections.unenforced > 0)
      .map((service) => ({
        attributes: { ...targetOf(service), ...why },
        since: service.since,
        value: service.ejections.unenforced,
      }))
  }

  #methods<P>(pointsOf: (method: MethodSeries, service: ServiceSeries) => P[]): P[] {
    return this.#services.flatMap((service) => [...service.grpc.series.values()].flatMap((method) => pointsOf(method, service)))
  }
}

function hasCounted({ buckets }: HistogramPoint): boolean {
  return buckets.some((count) => count > 0)
}

/** All codes but OK are errors to a client. */
function callAttributes(service: ServiceSeries, { path }: MethodSeries, code: string): Attributes {
  return {
    'rpc.system.name': 'grpc',
    'rpc.method': methodName(path) ?? '_OTHER',
    'rpc.response.status_code': code,
    ...(code !== 'OK' && { 'error.type': code }),
    ...originAttributes(originOf(authorityOf(service))),
    'mesh.service': service.name,
  }
}

function grpcAttributes(service: ServiceSeries, { path }: MethodSeries): Attributes {
  return { 'grpc.method': methodName(path) ?? OTHER_METHOD, ...targetOf(service) }
}

/** As grpc-js writes a target without a scheme. Two services may have the same. */
function targetOf(service: ServiceSeries): Attributes {
  return { 'grpc.target': `dns:${authorityOf(service)}`, 'mesh.service': service.name }
}

function authorityOf({ grpc, name }: ServiceSeries): string {
  return grpc.authority ?? name
}
