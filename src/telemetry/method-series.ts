import type { Attempt } from '../core/attempt.ts'
import type { Call } from '../core/call.ts'
import type { Verdict } from '../core/verdict.ts'
import { BoundedSeries, type Expirable } from './bounded-series.ts'
import { grpcDurations, rpcDurations } from './grpc-durations.ts'
import { StepHistogram } from './step-histogram.ts'

/** gRPC methods that have series of their own, of a service and of this process's own servers alike. */
export const MAX_METHODS = 1_000
/** How gRFC A66 calls the methods that have no name of their own. */
export const OTHER_METHOD = 'other'

/** Paths that would be shown as that. */
export const SHOWN_AS_OTHER: readonly string[] = [OTHER_METHOD, `/${OTHER_METHOD}`]

/** The bounds of the buckets of resends, and of hedges (gRFC A96). */
export const RETRY_BOUNDS: readonly number[] = [1, 2, 3, 4, 5]
export const TRANSPARENT_RETRY_BOUNDS: readonly number[] = [1, 2, 3, 4, 5, 10]

/** The gRPC calls to one service, by method. */
export class GrpcMethods {
  /** What the application called first. */
  authority: string | undefined
  readonly series: BoundedSeries<string, MethodSeries>
  /** The few calls with an attempt that certainly no server saw. */
  readonly #unseen = new WeakMap<Call, Unseen>()
  /** How many attempts of a call were hedges, of the few that had any. */
  readonly #hedges = new WeakMap<Call, number>()

  constructor() {
    this.series = new BoundedSeries(MAX_METHODS, (path, period) => new MethodSeries(path, period), SHOWN_AS_OTHER)
  }

  attemptStarted({ call, number, hedge }: Attempt, period: number): void {
    const series = this.#of(call, period)
    series.started++
    series.inFlight++
    if (hedge) this.#hedged(call)
    else if (number > 1) this.#resent(call)
  }

  attemptEnded(call: Call, verdict: Verdict, code: number, ms: number, period: number): void {
    const series = this.series.of(call.path, period)
    series.inFlight--
    series.period = period
    series.attempts.record(code, ms)
    if (verdict.resend === 'safe') this.#wasUnseen(call)
  }

  callEnded(call: Call, code: number, attempts: number, ms: number, period: number): void {
    const series = this.#of(call, period)
    series.period = period
    series.calls.record(code, ms)
    series.conventional.record(code, ms)
    if (attempts === 1) return
    const hedges = this.#hedges.get(call) ?? 0
    series.resent(attempts - 1 - hedges, this.#unseen.get(call)?.resent ?? 0)
    if (hedges > 0) series.hedges.record(hedges)
  }

  #of({ authority, path }: Call, period: number): MethodSeries {
    this.authority ??= authority
    return this.series.of(path, period)
  }

  #wasUnseen(call: Call): void {
    const unseen = this.#unseen.get(call)
    if (unseen === undefined) this.#unseen.set(call, { resent: 0, isLast: true })
    else unseen.isLast = true
  }

  #hedged(call: Call): void {
    this.#hedges.set(call, (this.#hedges.get(call) ?? 0) + 1)
    const unseen = this.#unseen.get(call)
    if (unseen !== undefined) unseen.isLast = false
  }

  #resent(call: Call): void {
    const unseen = this.#unseen.get(call)
    if (unseen === undefined || !unseen.isLast) return
    unseen.resent++
    unseen.isLast = false
  }
}

interface Unseen {
  /** How many attempts followed one that no server saw: gRPC's transparent retries. */
  resent: number
  /** The latest attempt was such a one. */
  isLast: boolean
}

/** The calls of one method. */
export class MethodSeries implements Expirable {
  /** `/pkg.Service/Method`; undefined for the methods that found no room. */
  readonly path: string | undefined
  /** The period it was made in. */
  readonly since: number
  /** Attempts. */
  started = 0
  inFlight = 0
  readonly attempts: ReturnType<typeof grpcDurations> = grpcDurations()
  readonly calls: ReturnType<typeof grpcDurations> = grpcDurations()
  readonly conventional: ReturnType<typeof rpcDurations> = rpcDurations()
  /** By call, where there were any. */
  readonly retries: StepHistogram = new StepHistogram(RETRIES)
  readonly transparentRetries: StepHistogram = new StepHistogram(TRANSPARENT_RETRIES)
  readonly hedges: StepHistogram = new StepHistogram(RETRIES)
  period: number
  expired = false

  constructor(path: string | undefined, period: number) {
    this.path = path
    this.since = period
    this.period = period
  }

  get busy(): boolean {
    return this.inFlight > 0
  }

  resent(attempts: number, transparent: number): void {
    if (attempts > transparent) this.retries.record(attempts - transparent)
    if (transparent > 0) this.transparentRetries.record(transparent)
  }
}

const RETRIES = Float64Array.from(RETRY_BOUNDS)
const TRANSPARENT_RETRIES = Float64Array.from(TRANSPARENT_RETRY_BOUNDS)

/** A path as gRPC's metrics write a method: without the first slash. */
export function methodName(path: string | undefined): string | undefined {
  return path?.startsWith('/') ? path.slice(1) : path
}
