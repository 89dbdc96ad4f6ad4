import type { Attempt } from '../core/attempt.ts'
import type { Call } from '../core/call.ts'
import type { Clock } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { Observer } from '../core/observer.ts'
import { type OptionCheck, readOptions } from '../core/options.ts'
import type { Route } from '../core/route.ts'
import type { Service } from '../core/service.ts'
import type { Verdict } from '../core/verdict.ts'
import { BoundedSeries, type Expirable } from './bounded-series.ts'
import { codeOf, type ProtocolCall } from './grpc-status.ts'
import { KNOWN_METHODS, type MethodIndexes, methodIndexes } from './http-durations.ts'
import { InboundMetrics, type InboundReading } from './inbound-metrics.ts'
import { type EndpointSeries, type RouteSeries, ServiceSeries } from './service-series.ts'
import { TlsMetrics } from './tls-metrics.ts'
import { reasonIndex } from './traffic.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** A series that nobody used for this long is given up (Linkerd's time), in milliseconds. */
export const EXPIRE_AFTER_MS = 600_000
/** How often an event may look for idle series, in milliseconds. */
const SWEEP_EVERY_MS = 60_000
/** Hosts outside the mesh that are counted by name. */
const MAX_EGRESS_HOSTS = 100

export interface GoldenMetricsOptions {
  /** Methods that are told apart, upper case, at most 32; the rest counts as `_OTHER`. Those of RFC 9110 and PATCH by default. */
  readonly knownMethods: readonly string[]
}

/**
 * Counts every call and every attempt, apart: what the caller saw, and what was sent. By service, route and endpoint: how many, why they
 * ended, how long they took, how many are under way. gRPC calls are told from HTTP by the call's `protocol`.
 *
 * A call with one attempt costs about 0.2 us: a few map look-ups and increments; names and attributes are put together when somebody
 * reads. At most 1000 endpoints and 1000 routes of a service have series of their own. An endpoint that has left keeps its series
 * until that was idle for 10 minutes.
 */
export class GoldenMetrics implements Observer {
  readonly clock: Clock
  /** When counting began, in monotonic milliseconds. */
  readonly since: number
  /** The requests that this process serves: the observer of its servers. */
  readonly inbound: InboundMetrics
  /** Handshakes and identities: the observer of the keyring. */
  readonly tls = new TlsMetrics()
  readonly #services = new Map<string, ServiceSeries>()
  readonly #routes = new WeakMap<Route, RouteSeries>()
  /** The route that an event was of last, and its series: as a rule the next is of the same. */
  #lastAsked: Route | undefined
  #lastRoute: RouteSeries | undefined
  readonly #endpoints = new WeakMap<Endpoint, EndpointSeries>()
  readonly #egress = new BoundedSeries<string, EgressSeries>(MAX_EGRESS_HOSTS, (host, period) => new EgressSeries(host, period))
  readonly #methods: MethodIndexes
  /** Of the latest event: events carry their time, so that counting need not ask the clock. */
  #period = 0
  #periodEnds = 0
  #sweptAt: number

  constructor(clock: Clock, options?: Partial<GoldenMetricsOptions>) {
    const { knownMethods } = readOptions('metrics', options, { knownMethods: KNOWN_METHODS }, { knownMethods: methods })
    this.#methods = methodIndexes(knownMethods)
    this.inbound = new InboundMetrics(this.#methods)
    this.clock = clock
    this.since = clock.now()
    this.#sweptAt = this.since
    this.#turnTo(this.since)
  }

  // === the request path

  callStarted(_call: Call, route: Route): void {
    const series = this.#routeOf(route)
    if (!series.expired) series.calls.inFlight++
    else this.#newRoute(route).calls.inFlight++
  }

  attemptStarted(attempt: Attempt, route: Route): void {
    const series = this.#endpoints.get(attempt.endpoint)
    if (series !== undefined && !series.expired) series.attempts.inFlight++
    else this.#newEndpoint(attempt, route).attempts.inFlight++
    const call: ProtocolCall = attempt.call
    if (call.protocol === 'grpc') this.#routeOf(route).service.grpc.attemptStarted(attempt, this.#period)
  }

  attemptEnded(attempt: Attempt, route: Route, verdict: Verdict, elapsedMs: number): void {
    const now = attempt.startedAt + elapsedMs
    if (now >= this.#periodEnds) this.#turnTo(now)
    const period = this.#period
    const reason = reasonIndex(verdict)
    const endpoint = this.#endpoints.get(attempt.endpoint) ?? this.#newEndpoint(attempt, route)
    endpoint.attempts.ended(reason, attempt.number, attempt.elapsedMs, period)
    if (verdict.outcome !== 'ignored') endpoint.whole.record(elapsedMs)
    const series = this.#routeOf(route)
    series.attemptEnded(reason, attempt)
    const call: ProtocolCall = attempt.call
    const { http, grpc, security } = series.service
    const sentBy = call.secure ? 1 : attempt.endpoint.secured ? 0 : 2
    security[sentBy] = (security[sentBy] as number) + 1
    if (call.protocol === 'grpc') grpc.attemptEnded(call, verdict, codeOf(attempt.code, verdict), elapsedMs, period)
    else http.attemptEnded(call, attempt.status, reason, elapsedMs, period)
  }

  callEnded(call: ProtocolCall, route: Route, verdict: Verdict, elapsedMs: number, attempts: number, status: number): void {
    if (attempts === 0) this.#lookAtClock()
    const series = this.#routeOf(route)
    series.callEnded(reasonIndex(verdict), attempts, status, elapsedMs, this.#period)
    if (call.protocol === 'grpc')
      series.service.grpc.callEnded(call, codeOf(call.statusCode, verdict), attempts, elapsedMs, this.#period)
  }

  endpointsChanged(service: Service): void {
    const now = this.#lookAtClock()
    this.#serviceOf(service).ejections.look(service, now)
    if (now - this.#sweptAt >= SWEEP_EVERY_MS) this.#sweep(now)
  }

  /**
   * A call to a host outside the mesh was passed through. The first hundred are told apart.
   *
   * @param destination its origin or authority, as the door has it
   */
  egress(destination: string): void {
    this.#lookAtClock()
    const series = this.#egress.of(destination, this.#period)
    series.calls++
    series.period = this.#period
  }

  #routeOf(route: Route): RouteSeries {
    const last = this.#lastRoute
    if (last !== undefined && route === this.#lastAsked) return last
    const series = this.#routes.get(route) ?? this.#newRoute(route)
    this.#lastAsked = route
    this.#lastRoute = series
    return series
  }

  // === reading

  /**
   * Every service's series, those of passed-through hosts, and the period that it is now.
   * Idle series are given up afterwards, so that whoever reads sees their last count.
   */
  read(): MetricsReading {
    const now = this.#lookAtClock()
    const reading = {
      now,
      period: this.#period,
      services: [...this.#services.values()].map((series) => readingOf(series)),
      egress: [...this.#egress.values()],
      inbound: this.inbound.read(),
    }
    this.#sweep(now)
    return reading
  }

  /** A service is closed: its series stay until they expire, and its gauges go. */
  forget(service: Service): void {
    const series = this.#services.get(service.name)
    if (series?.service === service) series.closed = true
    this.#lastAsked = undefined
    this.#lastRoute = undefined
  }

  // === what happens rarely

  #lookAtClock(): number {
    const now = this.clock.now()
    if (now >= this.#periodEnds) this.#turnTo(now)
    return now
  }

  #turnTo(now: number): void {
    this.#period = Math.floor(now / PERIOD_MS)
    this.#periodEnds = (this.#period + 1) * PERIOD_MS
  }

  #serviceOf(service: Service): ServiceSeries {
    let series = this.#services.get(service.name)
    if (series === undefined) {
      series = new ServiceSeries(service, this.clock.now(), this.#methods)
      this.#services.set(service.name, series)
    }
    if (series.service !== service) series.service = service
    series.closed = false
    return series
  }

  #newRoute(route: Route): RouteSeries {
    this.#lookAtClock()
    const service = this.#serviceOf(route.service)
    const series = service.routes.of(route.name, this.#period)
    this.#routes.set(route, series)
    this.#lastRoute = undefined
    return series
  }

  #newEndpoint(attempt: Attempt, route: Route): EndpointSeries {
    this.#lookAtClock()
    const series = this.#serviceOf(route.service).endpoint(attempt.endpoint, this.#period)
    this.#endpoints.set(attempt.endpoint, series)
    return series
  }

  #sweep(now: number): void {
    this.#sweptAt = now
    const idleSince = Math.floor((now - EXPIRE_AFTER_MS) / PERIOD_MS) - 1
    this.#egress.expire(idleSince)
    this.inbound.expire(idleSince)
    for (const [name, series] of this.#services) {
      series.expire(idleSince)
      if (series.closed && series.empty) this.#services.delete(name)
    }
  }
}

/** What there is to read, at one moment. */
export interface MetricsReading {
  /** Monotonic milliseconds. */
  readonly now: number
  /** The current period, which `WindowedCounters.recent` wants to know. */
  readonly period: number
  readonly services: readonly ServiceReading[]
  readonly egress: readonly EgressSeries[]
  readonly inbound: InboundReading
}

export interface ServiceReading {
  readonly series: ServiceSeries
  readonly routes: readonly RouteSeries[]
  readonly endpoints: readonly EndpointSeries[]
}

/** Calls to one host outside the mesh. */
export class EgressSeries implements Expirable {
  /** Undefined for the hosts that found no room. */
  readonly host: string | undefined
  readonly since: number
  calls = 0
  readonly busy = false
  period: number
  expired = false

  constructor(host: string | undefined, period: number) {
    this.host = host
    this.since = period
    this.period = period
  }
}

function readingOf(series: ServiceSeries): ServiceReading {
  return { series, routes: [...series.routes.values()], endpoints: [...series.endpoints.values()] }
}

const methods: OptionCheck = (value) =>
  Array.isArray(value) && value.length <= 32 && value.every((m) => typeof m === 'string' && /^[A-Z-]+$/.test(m))
    ? undefined
    : 'at most 32 methods in upper case'
