import { INBOUND_REASONS, type InboundReason } from '../core/inbound.ts'
import { BoundedSeries, type Expirable } from './bounded-series.ts'
import type { CallerSeries } from './caller-series.ts'
import { grpcDurations, rpcDurations } from './grpc-durations.ts'
import { BucketHistogram } from './histogram.ts'
import { SERVED_REASONS } from './inbound-reasons.ts'
import { Traffic } from './traffic.ts'

/** Combinations of scheme, method, status and reason, per caller and route, that have a series of their own. */
const MAX_HTTP_SERIES = 20
/** Above every status. */
const STATUSES = 1_000

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
  readonly http: BoundedSeries<number, ServedHttpSeries> = new BoundedSeries(MAX_HTTP_SERIES, servedHttpSeries)

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
    const shown = IS_ANSWERED[reason] === 1 && status > 0 && status < STATUSES ? status : 0
    const series = this.http.of((kind * INBOUND_REASONS.length + reason) * STATUSES + shown, period)
    series.duration.record(ms)
    series.period = period
  }
}

/** Durations of requests that had the same end. */
export class ServedHttpSeries implements Expirable {
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

  /** What it counts; `overflow` is everything that found no room. */
  get name(): ServedHttpName | 'overflow' {
    if (this.key < 0) return 'overflow'
    const rest = Math.floor(this.key / STATUSES)
    const reason = INBOUND_REASONS[rest % INBOUND_REASONS.length] as InboundReason
    return { kind: Math.floor(rest / INBOUND_REASONS.length), status: this.key % STATUSES, reason }
  }
}

export interface ServedHttpName {
  /** The index of scheme and method. */
  readonly kind: number
  /** 0 when it isn't sure that one was sent. */
  readonly status: number
  readonly reason: InboundReason
}

function servedHttpSeries(key: number | undefined, period: number): ServedHttpSeries {
  return new ServedHttpSeries(key ?? -1, period)
}

/** Reasons with which a status certainly went out. */
const IS_ANSWERED: Uint8Array = Uint8Array.from(INBOUND_REASONS, (reason) =>
  reason === 'cancelled' || reason === 'timeout' || reason === 'broken_off' ? 0 : 1,
)
