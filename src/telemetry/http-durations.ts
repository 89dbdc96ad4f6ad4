import type { Call } from '../core/call.ts'
import { REASONS, type Reason } from '../core/verdict.ts'
import { HttpEnds, type HttpSeries } from './http-ends.ts'
import { type Origin, originOf } from './origin.ts'

/** Combinations of origin, method, status and error per service that have a series of their own. */
const MAX_HTTP_SERIES = 200
/** Origins by which a service is called that are told apart: as a rule one, else its name with and without a port, by `http:` and `https:`. */
const MAX_ORIGINS = 10

/** The methods of RFC 9110 and PATCH: what OpenTelemetry's HTTP conventions know by default. */
export const KNOWN_METHODS: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']

/** The indexes of known methods; a method that is not known has none and counts as `_OTHER`. */
export type MethodIndexes = ReadonlyMap<string, number>

/** Durations of the requests sent to one service, by origin, method, status and error. */
export class HttpDurations extends HttpEnds<Reason> {
  readonly #methods: MethodIndexes
  readonly #origins: Origin[] = []
  /** Indexes of origins, by the authorities of their calls. */
  readonly #plain = new Map<string, number>()
  readonly #secure = new Map<string, number>()

  constructor(methods: MethodIndexes) {
    super(MAX_HTTP_SERIES, REASONS)
    this.#methods = methods
  }

  /**
   * @param status 0 when none was received
   * @param reason the verdict's index in REASONS
   */
  attemptEnded(call: Call, status: number, reason: number, ms: number, period: number): void {
    const error = status > 0 && TOLD_BY_STATUS[reason] === 1 ? 0 : reason
    const { size } = this.#methods
    const method = this.#methods.get(call.method) ?? size
    this.record(this.#originOf(call) * (size + 1) + method, error, status, ms, period)
  }

  /** What a series counts; `overflow` is everything that found no room. */
  nameOf(series: HttpSeries): HttpName | 'overflow' {
    const end = this.endOf(series)
    if (end === 'overflow') return end
    const { kind, reason, status } = end
    const { size } = this.#methods
    const origin = this.#origins[Math.floor(kind / (size + 1))]
    const method = [...this.#methods.keys()][kind % (size + 1)] ?? '_OTHER'
    if (reason !== 'ok') return { origin, method, status, error: reason }
    return { origin, method, status, error: status >= 400 ? String(status) : undefined }
  }

  #originOf({ authority, secure = false }: Call): number {
    const known = secure ? this.#secure : this.#plain
    return known.get(authority) ?? this.#newOrigin(authority, secure)
  }

  /** Those that find no room share the index behind the last. */
  #newOrigin(authority: string, secure: boolean): number {
    const index = this.#origins.length
    if (index === MAX_ORIGINS) return index
    const known = secure ? this.#secure : this.#plain
    known.set(authority, index)
    this.#origins.push(originOf(authority, secure ? 443 : 80))
    return index
  }
}

export interface HttpName {
  /** What the application called; undefined for the origins that found no room. */
  readonly origin: Origin | undefined
  /** `_OTHER` when not known. */
  readonly method: string
  /** 0 when none was received. */
  readonly status: number
  /** The reason or, when the answer's status is the error, the status; undefined when all is well. */
  readonly error: string | undefined
}

/** @param methods upper case, as they are sent */
export function methodIndexes(methods: readonly string[]): MethodIndexes {
  return new Map(methods.map((method, i) => [method, i]))
}

/** Reasons that a status alone explains. */
const TOLD_BY_STATUS: Uint8Array = Uint8Array.from(REASONS, (reason) =>
  reason === 'ok' || reason === 'error_status' || reason === 'unavailable' || reason === 'overloaded' ? 1 : 0,
)
