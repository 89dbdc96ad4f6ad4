import { INBOUND_REASONS, type InboundReason } from '../core/inbound.ts'
import type { Expirable } from './bounded-series.ts'
import type { CallerSeries } from './caller-series.ts'
import { grpcDurations, rpcDurations } from './grpc-durations.ts'
import { HttpEnds } from './http-ends.ts'
import { SERVED_REASONS } from './inbound-reasons.ts'
import { Traffic } from './traffic.ts'

/** Combinations of scheme, method, status and reason, per caller and route, that have a series of their own. */
const MAX_HTTP_SERIES = 20

/** One route of this process's servers, or one gRPC method, and who asks for it. */
export class ServedRoute implements Expirable {
  /** The route's template, empty when none matched; the path of a gRPC method; undefined for what found no room, and for unknown methods. */
  readonly name: string | undefined
  /** The period it was made in. */
  readonly since: number
  readonly byCaller = new Map<CallerSeries, ServedSeries>()
  /** gRPC calls that began. */
  started = 0
  /** gRPC calls under way. */
  inFlight = 0
  /** In gRPC's own buckets. */
  readonly durations: ReturnType<typeof grpcDurations> = grpcDurations()
  period: number
  expired = false

  constructor(name: string | undefined, period: number) {
    this.name = name
    this.since = period
    this.period = period
  }

  get busy(): boolean {
    return this.inFlight > 0
  }
}

/** The requests of one caller to one route. */
export class ServedSeries {
  readonly caller: CallerSeries
  /** The period it was made in. */
  readonly since: number
  readonly requests: Traffic
  /** By status code; empty for HTTP. */
  readonly rpc: ReturnType<typeof rpcDurations> = rpcDurations()
  /** Empty for gRPC. */
  readonly http: HttpEnds<InboundReason> = new HttpEnds(MAX_HTTP_SERIES, INBOUND_REASONS)

  constructor(caller: CallerSeries, period: number) {
    this.caller = caller
    this.since = period
    this.requests = new Traffic(period, SERVED_REASONS)
  }

  get period(): number {
    return this.requests.ends.period
  }

  /** @param kind the index of scheme and method */
  httpEnded(kind: number, status: number, reason: number, ms: number, period: number): void {
    this.http.record(kind, reason, IS_ANSWERED[reason] === 1 ? status : 0, ms, period)
  }
}

/** Reasons with which a status certainly went out. */
const IS_ANSWERED: Uint8Array = Uint8Array.from(INBOUND_REASONS, (reason) =>
  reason === 'cancelled' || reason === 'timeout' || reason === 'broken_off' ? 0 : 1,
)
