import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import type { Attempt } from '../../core/attempt.ts'
import type { Timer } from '../../core/clock.ts'
import { LEAVING_HEADER, OVERLOADED_HEADER } from '../../core/context-headers.ts'
import { withoutRequirement } from '../../core/identity-requirement.ts'
import { LOAD_REPORT_HEADER } from '../../core/load-report.ts'
import { retryAfterMs } from '../../core/retry-after.ts'
import { CANCELLED, judgeStatus, OK, RESET, type Verdict } from '../../core/verdict.ts'
import type { Connection, Passenger } from '../../transport/connection.ts'
import type { EndpointPool } from '../../transport/endpoint-pool.ts'
import type { Exchange } from './exchange.ts'
import { judgeError, type Progress } from './judge-error.ts'

type Headers = Record<string, string | string[] | undefined>

/** The body of an answer that is thrown away because its call is sent again is read up to here, to keep the connection; in bytes ... */
const DRAINED_BYTES = 64 * 1024
/** ... and in milliseconds. */
const DRAINED_MS = 1_000

/**
 * Listens to one attempt. A late event of an attempt that was given up finds that it is not the exchange's current one and
 * stops here, so the application never hears two of them.
 */
export class AttemptHandler implements Dispatcher.DispatchHandler, Passenger {
  readonly attempt: Attempt
  readonly pool: EndpointPool
  /** Runs from the start to the answer's head, when the route bounds it; then until an unwanted answer must have ended. */
  timer: Timer | undefined
  connection: Connection | undefined
  controller: Dispatcher.DispatchController | undefined
  /** It was given a turn of the loop more, as this process had stood still. */
  #excused = false
  /** It was given up, or has failed. */
  #over = false
  readonly #exchange: Exchange
  #verdict: Verdict = OK
  #answering = false
  #reused = false
  #drained = 0

  constructor(exchange: Exchange, attempt: Attempt, pool: EndpointPool) {
    this.#exchange = exchange
    this.attempt = attempt
    this.pool = pool
  }

  /** Whether anything may have been written to a connection. */
  get sent(): boolean {
    return this.controller !== undefined
  }

  /** Whether its events matter yet. */
  get #counts(): boolean {
    return !this.#over && (this.#exchange.current === this || this.#exchange.races(this))
  }

  /** Sends it. A connection that is made for it must not carry on what this one call requires. */
  dispatch(options: Dispatcher.DispatchOptions): void {
    if (this.attempt.call.requiredIds === undefined) this.pool.dispatch(options, this)
    else withoutRequirement(() => this.pool.dispatch(options, this))
  }

  /** Gives up the attempt if the answer's head is not there within so many milliseconds. */
  bound(limitMs: number): void {
    this.timer = this.#exchange.clock.after(limitMs, () => this.#expire(limitMs))
  }

  /** Time that this process itself stood still is given back to the attempt, and a turn of the loop to read what came meanwhile. */
  #expire(limitMs: number): void {
    if (!this.#counts) return
    const now = this.#exchange.clock.now()
    const stalledMs = this.attempt.stalledMs(now)
    const leftMs = limitMs - (now - this.attempt.startedAt - stalledMs)
    if (leftMs < 1 && (stalledMs === 0 || this.#excused)) return this.#exchange.tooLate(this)
    if (leftMs < 1) this.#excused = true
    this.timer = this.#exchange.clock.after(Math.max(1, leftMs), () => this.#expire(limitMs))
  }

  // undici calls it again when it moves a refused HTTP/2 stream to another connection by itself
  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
    if (!this.#counts) return controller.abort(ABANDONED)
    this.#reused = (this.connection?.served ?? 0) > 0
    if (this.#exchange.paused) controller.pause()
  }

  onBodySent(chunk: Buffer): void {
    if (this.#exchange.current === this) this.#exchange.handler.onBodySent?.(chunk)
  }

  onRequestSent(): void {
    if (this.#exchange.current === this) this.#exchange.handler.onRequestSent?.()
  }

  onResponseStarted(): void {
    if (this.#exchange.current === this) this.#exchange.handler.onResponseStarted?.()
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: Headers, statusText?: string): void {
    const exchange = this.#exchange
    if (!this.#counts) return
    if (status < 200) return exchange.current === this ? exchange.informed(controller, status, headers, statusText) : undefined
    this.#answering = true
    this.timer?.cancel()
    if (status >= 429)
      this.#verdict = judgeStatus(status, retryAfterMs(headers['retry-after'], headers['date']), OVERLOADED_HEADER in headers)
    if (LEAVING_HEADER in headers) this.attempt.route.service.leaving(this.attempt.endpoint)
    if (LOAD_REPORT_HEADER in headers) this.attempt.loadReported(headers[LOAD_REPORT_HEADER])
    this.attempt.status = status
    this.attempt.answered(this.#verdict)
    if (this.#verdict.resend !== 'never' && exchange.resends(this, this.#verdict)) return this.#drain(controller)
    exchange.elect(this)
    exchange.answered(controller, status, headers, statusText)
  }

  /** The call is sent again; this answer reaches nobody. */
  #drain(controller: Dispatcher.DispatchController): void {
    this.attempt.end(this.#verdict)
    this.timer = this.#exchange.clock.after(DRAINED_MS, () => controller.abort(ABANDONED))
    controller.resume()
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#exchange.current === this) return this.#exchange.handler.onResponseData?.(this.#exchange, chunk)
    this.#drained += chunk.byteLength
    if (this.#drained > DRAINED_BYTES) controller.abort(ABANDONED)
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Headers): void {
    const now = this.#exchange.clock.now()
    this.connection?.answered(now)
    this.connection = undefined
    this.attempt.end(this.#verdict, now)
    if (this.#exchange.current === this) this.#exchange.ended(controller, trailers, this.#verdict, now)
    else this.timer?.cancel()
  }

  onRequestUpgrade(controller: Dispatcher.DispatchController, status: number, headers: Headers, socket: Duplex): void {
    this.#leaveConnection()
    this.timer?.cancel()
    this.attempt.status = status
    this.attempt.end(OK)
    if (this.#exchange.current === this) this.#exchange.upgraded(controller, status, headers, socket)
    else socket.destroy()
  }

  onResponseError(controller: Dispatcher.DispatchController | null | undefined, error: Error): void {
    this.timer?.cancel()
    const exchange = this.#exchange
    const idleMs = this.#reused && this.connection ? this.attempt.startedAt - this.connection.idleSince : 0
    this.#leaveConnection()
    if (!this.#counts) return this.attempt.end(CANCELLED)
    this.#over = true
    const verdict = exchange.aborted ? this.#abortVerdict : judgeError(error, this.#progress(controller))
    if (verdict === RESET && this.#reused) this.pool.closedWhenIdle(idleMs)
    this.attempt.end(verdict)
    exchange.failed(this, verdict, error)
  }

  get #abortVerdict(): Verdict {
    return this.#answering ? CANCELLED : this.#exchange.abortVerdict
  }

  #progress(controller: Dispatcher.DispatchController | null | undefined): Progress {
    if (this.#answering) return 'answering'
    if (this.sent) return 'sent'
    // `dispatch` itself reports with null what it will not take; later failures come without a controller
    return controller === null ? 'declined' : 'queued'
  }

  #leaveConnection(): void {
    this.connection?.failed()
    this.connection = undefined
  }

  /** The attempt is given up; what it still does reaches nobody. A second call is ignored. */
  abandon(verdict: Verdict): void {
    if (this.#over) return
    this.#over = true
    this.timer?.cancel()
    this.attempt.end(verdict)
    this.controller?.abort(ABANDONED)
  }
}

/** One shared error: it never reaches an application, and a stack would cost more than the rest of the attempt. */
const ABANDONED = Object.assign(new Error('attempt abandoned'), { code: 'UND_ERR_ABORTED' })
