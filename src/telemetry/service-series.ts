import type { Attempt } from '../core/attempt.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { Service } from '../core/service.ts'
import { REASONS } from '../core/verdict.ts'
import { BoundedSeries, type Expirable } from './bounded-series.ts'
import { Ejections } from './ejections.ts'
import { BucketHistogram } from './histogram.ts'
import { HttpDurations, type MethodIndexes } from './http-durations.ts'
import { GrpcMethods } from './method-series.ts'
import { Ledger, Traffic } from './traffic.ts'

/** Endpoints, and likewise routes, per service that have a series of their own. */
export const MAX_SERIES = 1_000

/** How attempts are sent: by the mesh's mutual TLS, by TLS of the application's own, or in plaintext. */
export const SENT_BY = ['mtls', 'tls', 'plaintext'] as const

/** All that is counted of one service. It is found by name, so that a service that is made anew goes on counting. */
export class ServiceSeries {
  readonly name: string
  /** The latest of that name. */
  service: Service
  /** When counting began, in monotonic milliseconds. */
  readonly since: number
  readonly routes: BoundedSeries<string, RouteSeries>
  readonly endpoints: BoundedSeries<string, EndpointSeries>
  readonly http: HttpDurations
  readonly grpc: GrpcMethods = new GrpcMethods()
  readonly ejections: Ejections = new Ejections()
  readonly expiredCalls: Ledger = new Ledger()
  readonly expiredAttempts: Ledger = new Ledger()
  /** Attempts that ended, by how they were sent: in the order of SENT_BY. */
  readonly security: Float64Array = new Float64Array(SENT_BY.length)
  /** Of routes whose series have expired. */
  expiredHedges = 0
  /** The service is closed: forget it once its series have expired. */
  closed = false

  constructor(service: Service, now: number, methods: MethodIndexes) {
    this.name = service.name
    this.service = service
    this.since = now
    this.http = new HttpDurations(methods)
    this.routes = new BoundedSeries(MAX_SERIES, (name, period) => new RouteSeries(this, name, period))
    this.endpoints = new BoundedSeries(MAX_SERIES, (name, period) => new EndpointSeries(name, period))
  }

  /** The series of an endpoint, which outlives the endpoint until it is idle for long. */
  endpoint(endpoint: Endpoint, period: number): EndpointSeries {
    const series = this.endpoints.of(endpoint.name, period)
    if (series.name !== undefined) series.zone = endpoint.zone
    return series
  }

  /** Gives up series last used in `period` or before; the sums over the service keep what they held. */
  expire(period: number): void {
    this.routes.expire(period, (route) => {
      this.expiredCalls.add(route.calls)
      this.expiredHedges += route.hedges
    })
    this.endpoints.expire(period, (endpoint) => this.expiredAttempts.add(endpoint.attempts))
    this.http.series.expire(period)
    this.grpc.series.expireSettled(period)
  }

  get empty(): boolean {
    return this.routes.size === 0 && this.endpoints.size === 0
  }
}

/** What the callers of a route saw, and how many attempts that took. */
export class RouteSeries implements Expirable {
  readonly service: ServiceSeries
  /** Undefined for the routes that found no room. */
  readonly name: string | undefined
  /** The period it was made in. */
  readonly since: number
  readonly calls: Traffic
  /** Calls by the first digit of their status; the first is those without any. */
  readonly statuses: Float64Array = new Float64Array(6)
  /** Attempts by reason, in the order of REASONS. */
  readonly attempts: Float64Array = new Float64Array(REASONS.length)
  /** Attempts that were not a call's first. */
  retries = 0
  /** Those of them that were sent beside others of their call. */
  hedges = 0
  expired = false

  constructor(service: ServiceSeries, name: string | undefined, period: number) {
    this.service = service
    this.name = name
    this.since = period
    this.calls = new Traffic(period)
  }

  get busy(): boolean {
    return this.calls.inFlight > 0
  }

  get period(): number {
    return this.calls.ends.period
  }

  attemptEnded(reason: number, { number, hedge }: Attempt): void {
    this.attempts[reason] = (this.attempts[reason] as number) + 1
    if (number > 1) this.retries++
    if (hedge) this.hedges++
  }

  callEnded(reason: number, attempts: number, status: number, ms: number, period: number): void {
    this.calls.ended(reason, attempts, ms, period)
    const digit = status < 600 ? (status / 100) | 0 : 0
    this.statuses[digit] = (this.statuses[digit] as number) + 1
  }
}

/** The attempts that were sent to an endpoint. */
export class EndpointSeries implements Expirable {
  /** `host:port`; undefined for the endpoints that found no room. */
  readonly name: string | undefined
  zone: string | undefined
  /** The period it was made in. */
  readonly since: number
  /** Its latency is to the answer's head or the failure, less what this process was stalled: what the balancer learns from. */
  readonly attempts: Traffic
  /** To the last byte or the failure. */
  readonly whole: BucketHistogram = new BucketHistogram()
  expired = false

  constructor(name: string | undefined, period: number) {
    this.name = name
    this.since = period
    this.attempts = new Traffic(period)
  }

  get busy(): boolean {
    return this.attempts.inFlight > 0
  }

  get period(): number {
    return this.attempts.ends.period
  }
}
