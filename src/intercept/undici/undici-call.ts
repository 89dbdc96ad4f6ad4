import diagnosticsChannel from 'node:diagnostics_channel'
import type { Dispatcher } from 'undici'
import type { Call } from '../../core/call.ts'
import { requiredIdentities } from '../../core/identity-requirement.ts'
import { BODY_FAILED, CANCELLED, type Verdict } from '../../core/verdict.ts'
import { Behalf, hopHeaders } from '../behalf.ts'
import { headerOf, isOneShot, withHeaders } from './call-headers.ts'
import type { Destination } from './destination.ts'
import { isIterable, isRepeatable, ReplayBody } from './replay-body.ts'

/** A call as undici's options describe it, and what can be sent of it a second time. */
export class UndiciCall implements Call {
  readonly authority: string
  readonly secure: boolean
  /** The application's own, unless something in them can be read but once. */
  readonly options: Dispatcher.DispatchOptions
  readonly behalf = new Behalf()
  readonly requiredIds: readonly string[] | undefined = requiredIdentities()
  readonly #replay: ReplayBody | undefined

  constructor({ authority, secure }: Destination, options: Dispatcher.DispatchOptions) {
    this.authority = authority
    this.secure = secure
    this.options = options
    if (isOneShot(options.headers)) this.options = { ...options, headers: new Set(options.headers as never) as never }
    const { body } = options
    if (isRepeatable(body) || !isIterable(body) || !this.idempotent) return
    this.#replay = new ReplayBody(body)
    this.options = { ...this.options, body: this.#replay as never }
  }

  get method(): string {
    return this.options.method
  }

  get path(): string {
    return this.options.path
  }

  get idempotent(): boolean {
    return this.options.idempotent ?? (IDEMPOTENT.has(this.method) || this.header('idempotency-key') !== undefined)
  }

  get resent(): boolean {
    return this.behalf.resent
  }

  header(name: string): string | undefined {
    return headerOf(this.options.headers, name)
  }

  /** Whether it can be sent again. A request that was begun has used up what can be read but once. */
  repeatable(begun: boolean): boolean {
    const { body, upgrade } = this.options
    if (upgrade && begun) return false
    return this.#replay?.replayable ?? (!begun || isRepeatable(body))
  }

  /** It can be sent beside itself: its body can be read from its start at any time, by several at once. */
  get canHedge(): boolean {
    const { body, upgrade } = this.options
    return !upgrade && (this.#replay?.whole ?? isRepeatable(body))
  }

  /**
   * What it means that the application aborts before it has an answer. Node's fetch does so, too, when a request's body fails; the signal that is named with
   * the call is silent then.
   */
  get abortVerdict(): Verdict {
    const { body, signal } = this.options as Dispatcher.DispatchOptions & { readonly signal?: AbortSignal | null }
    return signal?.aborted === false && !isRepeatable(body) ? BODY_FAILED : CANCELLED
  }

  /** It might be sent again, were its body shorter. */
  get isTooLong(): boolean {
    return this.#replay?.replayable === false
  }

  /**
   * What to send for an attempt: the application's options as they are, unless there is something to tell the next hop.
   *
   * @param number of the attempt, from 1
   */
  optionsFor(number: number, caller: string, leftMs: number): Dispatcher.DispatchOptions {
    const told = this.behalf.numberOf(number)
    const traceparent = CREATED.hasSubscribers ? '' : this.behalf.traceparentFor(this)
    if (told === 1 && caller === '' && leftMs === Number.POSITIVE_INFINITY && traceparent === '') return this.options
    const more = hopHeaders(caller, leftMs, told)
    this.behalf.passTraceOn(traceparent, more)
    return { ...this.options, headers: withHeaders(this.options.headers, more) }
  }

  /** The call has its answer. */
  releaseBody(): void {
    this.#replay?.release()
  }

  /** The call has failed. */
  closeBody(): void {
    this.#replay?.close()
  }
}

/**
 * Where undici tells of each request before it is sent. Who listens there (OpenTelemetry's instrumentation, Datadog's) adds a `traceparent` without a look at what
 * there is, and a request with two has none: the trace is left to them.
 */
const CREATED = diagnosticsChannel.channel('undici:request:create')

/** RFC 9110 section 9.2.2, and QUERY. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])
