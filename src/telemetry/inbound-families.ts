import type { InboundReason } from '../core/inbound.ts'
import { type CallerSeries, PROTOCOLS, refusalsOf } from './caller-series.ts'
import {
  type Attributes,
  counter,
  type Family,
  type HistogramPoint,
  histogram,
  type NumberPoint,
  OVERFLOW,
  sum,
} from './family.ts'
import { GRPC_BOUNDS_S } from './grpc-durations.ts'
import type { HttpSeries } from './http-ends.ts'
import { type HttpKind, type InboundReading, OTHER, SECURITIES } from './inbound-metrics.ts'
import { SERVED_REASONS } from './inbound-reasons.ts'
import { methodName, OTHER_METHOD } from './method-series.ts'
import { counted, type PointMaker } from './point-maker.ts'
import type { ServedRoute, ServedSeries } from './served-series.ts'

/** The requests that this process serves: OpenTelemetry's metrics, gRPC's own (gRFC A66), and the mesh's. */
export function inboundFamilies(reading: InboundReading, make: PointMaker): Family[] {
  const read = new Read(reading, make)
  return [
    histogram('http.server.request.duration', 'Duration of HTTP server requests.', read.http()),
    sum('http.server.active_requests', 'HTTP requests under way.', 'request', read.activeHttp()),
    histogram('rpc.server.call.duration', 'Duration of incoming RPCs.', read.rpc()),
    counter('grpc.server.call.started', 'Calls that began.', 'call', read.grpcStarted()),
    histogram('grpc.server.call.duration', 'From the call to its status.', read.grpc(), GRPC_BOUNDS_S),
    counter('mesh.server.requests', 'Requests that ended, by how.', 'request', read.requests()),
    counter('mesh.server.resent_requests', 'Requests that were not the first attempt of their call.', 'request', read.resent()),
    sum('mesh.server.active_requests', 'Requests under way.', 'request', read.active()),
    counter('mesh.server.security.requests', 'Requests that came, by how their callers did.', 'request', read.security()),
    counter('mesh.server.refused', 'Requests that a policy refused.', 'request', read.refusals('refused')),
    counter(
      'mesh.server.would_have_refused',
      'Requests that a policy in shadow mode would have refused.',
      'request',
      read.refusals('wouldHaveRefused'),
    ),
    counter('mesh.server.authorization.refused', 'Requests that a rule refused.', 'request', read.byRule('refused')),
    counter(
      'mesh.server.authorization.would_have_refused',
      'Requests that a rule in audit would have refused.',
      'request',
      read.byRule('wouldHaveRefused'),
    ),
  ]
}

/** A reading as points. */
class Read {
  readonly #reading: InboundReading
  readonly #make: PointMaker

  constructor(reading: InboundReading, make: PointMaker) {
    this.#reading = reading
    this.#make = make
  }

  http(): HistogramPoint[] {
    return pairsOf(this.#reading.http, (route, pair) =>
      [...pair.http.series.values()].map((http) =>
        this.#make.durations(httpAttributes(this.#reading.kinds, route, pair, http), http.since, http.duration),
      ),
    )
  }

  activeHttp(): NumberPoint[] {
    return this.#reading.callers.flatMap((caller) =>
      this.#reading.kinds.flatMap((kind, i) => {
        const active = caller.active[i] as number
        return active > 0 ? [this.#make.number({ ...kindAttributes(kind), ...callerOf(caller) }, caller.since, active)] : []
      }),
    )
  }

  rpc(): HistogramPoint[] {
    return pairsOf(this.#reading.grpc, (method, pair) =>
      pair.rpc.map((code, durations) =>
        this.#make.durations({ ...rpcAttributes(method, code), ...callerOf(pair.caller) }, pair.since, durations),
      ),
    )
  }

  grpcStarted(): NumberPoint[] {
    return this.#reading.grpc.map((m) => this.#make.number({ 'grpc.method': grpcMethod(m) }, m.since, m.started))
  }

  grpc(): HistogramPoint[] {
    return this.#reading.grpc.flatMap((m) =>
      m.durations.map((code, d) => this.#make.steps({ 'grpc.method': grpcMethod(m), 'grpc.status': code }, m.since, d, 1_000)),
    )
  }

  requests(): NumberPoint[] {
    return this.#pairs((attributes, { since, requests }) =>
      this.#make.byReason(attributes, since, requests.ends.totals(), SERVED_REASONS),
    )
  }

  resent(): NumberPoint[] {
    return this.#pairs((attributes, { since, requests }) => {
      const again = requests.again()
      return again > 0 ? [this.#make.number(attributes, since, again)] : []
    })
  }

  active(): NumberPoint[] {
    return this.#callers((attributes, caller, protocol) =>
      counted(caller.inFlight.subarray(protocol, protocol + 1), (_, count) => this.#make.number(attributes, caller.since, count)),
    )
  }

  refusals(which: 'refused' | 'wouldHaveRefused'): NumberPoint[] {
    return this.#callers((attributes, caller, protocol) =>
      refusalsOf(caller[which], protocol).map(([reason, count]) =>
        this.#make.number({ ...attributes, 'mesh.reason': reason }, caller.since, count),
      ),
    )
  }

  security(): NumberPoint[] {
    return counted(this.#reading.security, (i, count) => {
      const protocol = PROTOCOLS[Math.floor(i / SECURITIES.length)] as string
      const security = SECURITIES[i % SECURITIES.length] as string
      return this.#make.number({ 'mesh.security': security, 'mesh.protocol': protocol }, 0, count)
    })
  }

  byRule(which: 'refused' | 'wouldHaveRefused'): NumberPoint[] {
    return this.#reading.rules.flatMap((rule) =>
      counted(rule[which], (protocol, count) => {
        const attributes = { 'mesh.rule': rule.name ?? OTHER, 'mesh.protocol': PROTOCOLS[protocol] as string }
        return this.#make.number(attributes, rule.since, count)
      }),
    )
  }

  #callers<P>(pointsOf: (attributes: Attributes, caller: CallerSeries, protocol: number) => P[]): P[] {
    return this.#reading.callers.flatMap((caller) =>
      PROTOCOLS.flatMap((name, i) => pointsOf({ ...callerOf(caller), 'mesh.protocol': name }, caller, i)),
    )
  }

  #pairs<P>(pointsOf: (attributes: Attributes, pair: ServedSeries) => P[]): P[] {
    return PROTOCOLS.flatMap((name) =>
      pairsOf(this.#reading[name], (route, pair) =>
        pointsOf({ ...callerOf(pair.caller), 'mesh.protocol': name, ...meshRouteOf(route, name) }, pair),
      ),
    )
  }
}

function pairsOf<P>(routes: readonly ServedRoute[], pointsOf: (route: ServedRoute, pair: ServedSeries) => P[]): P[] {
  return routes.flatMap((route) => [...route.byCaller.values()].flatMap((pair) => pointsOf(route, pair)))
}

/** Nothing when it didn't say who it is. */
function callerOf({ name }: CallerSeries): Attributes {
  return name === '' ? {} : { 'mesh.caller': name ?? OTHER }
}

/** Nothing when none matched. */
function routeOf({ name }: ServedRoute, attribute: string): Attributes {
  if (name === undefined) return OVERFLOW
  return name === '' ? {} : { [attribute]: name }
}

function meshRouteOf(route: ServedRoute, protocol: string): Attributes {
  return protocol === 'grpc' ? { 'mesh.route': grpcMethod(route) } : routeOf(route, 'mesh.route')
}

function kindAttributes({ scheme, method }: HttpKind): Attributes {
  return { 'http.request.method': method, 'url.scheme': scheme }
}

function httpAttributes(
  kinds: readonly HttpKind[],
  route: ServedRoute,
  { caller, http }: ServedSeries,
  series: HttpSeries,
): Attributes {
  const known = { ...routeOf(route, 'http.route'), ...callerOf(caller) }
  const end = http.endOf(series)
  if (end === 'overflow') return { ...known, 'mesh.http.overflow': true, ...OVERFLOW }
  const error = errorOf(end.reason, end.status)
  return {
    ...kindAttributes(kinds[end.kind] as HttpKind),
    ...known,
    ...(end.status > 0 && { 'http.response.status_code': end.status }),
    ...(error !== undefined && { 'error.type': error }),
  }
}

/** A status below 500 is no error of a server's. */
function errorOf(reason: InboundReason, status: number): string | undefined {
  if (reason === 'ok' || reason === 'error_status') return status >= 500 ? String(status) : undefined
  return status > 0 && status < 500 ? undefined : reason
}

function rpcAttributes(method: ServedRoute, code: string): Attributes {
  return {
    'rpc.system.name': 'grpc',
    'rpc.method': methodName(method.name) ?? '_OTHER',
    'rpc.response.status_code': code,
    ...(SERVER_ERRORS.has(code) && { 'error.type': code }),
  }
}

/** The codes that OpenTelemetry's conventions for gRPC count as errors of the server. */
const SERVER_ERRORS: ReadonlySet<string> = new Set([
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
])

function grpcMethod({ name }: ServedRoute): string {
  return methodName(name) ?? OTHER_METHOD
}
