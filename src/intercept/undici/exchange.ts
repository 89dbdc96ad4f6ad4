import { AsyncResource } from 'node:async_hooks'
import type { Duplex } from 'node:stream'
import { type Dispatcher, errors } from 'undici'
import type { Clock, Runtime, Timer } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { Route } from '../../core/route.ts'
import type { CallPermit, ServiceBreaker } from '../../core/service-breaker.ts'
import {
  BODY_FAILED,
  BREAKER_OPEN,
  CANCELLED,
  CLOSED,
  CONNECT_TIMEOUT,
  NO_ENDPOINT,
  OK,
  REFUSED,
  TIMEOUT,
  TRY_TIMEOUT,
  type Verdict,
} from '../../core/verdict.ts'
import { attemptsFailed, breakerOpen, timedOut, tryTimedOut } from '../call-errors.ts'
import { Resending } from '../resending.ts'
import { AttemptHandler } from './attempt-handler.ts'
import { BodyWatch } from './body-watch.ts'
import type { Destination } from './destination.ts'
import { answerInstead } from './fallback-answer.ts'
import { RacingCall } from './racing-call.ts'
import { isStream } from './replay-body.ts'
import { ScopedHandler } from './scoped-handler.ts'

type Options = Dispatcher.DispatchOptions
type Headers = Record<string, string | string[] | undefined>
type Raw = Pick<Dispatcher.DispatchController, 'rawHeaders' | 'rawTrailers'>

/** What an exchange needs of the dispatcher it belongs to. */
export interface ExchangeOwner {
  /** This process's own service; empty when it has none. */
  readonly name: string
  readonly runtime: Runtime
  exchangeEnded(exchange: Exchange): void
}

/**
 * One call through undici, from `dispatch()` to its last byte, over however many attempts. It is the `Call` that strategies see
 * and the one stable controller that the application holds.
 */
export class Exchange extends RacingCall implements Dispatcher.DispatchController {
  readonly handler: Dispatcher.DispatchHandler
  aborted = false
  /** The application has heard the last of it. */
  done = false
  reason: Error | null = null
  rawHeaders: NonNullable<Dispatcher.DispatchController['rawHeaders']> | null = null
  rawTrailers: NonNullable<Dispatcher.DispatchController['rawTrailers']> | null = null
  readonly #owner: ExchangeOwner
  readonly #destination: Destination
  readonly #route: Route
  /** The caller's async context, for what happens later on other events; undici's own handlers carry it already. */
  readonly #scope: AsyncResource
  #startedAt = 0
  #attempts = 0
  #status = 0
  #deadline: Timer | undefined
  /** Leaves the queue of those who wait for an endpoint. */
  #leave: (() => void) | undefined
  #resending: Resending | undefined
  #permit: CallPermit | undefined
  #bodyWatch: BodyWatch | undefined

  constructor(owner: ExchangeOwner, destination: Destination, options: Options, handler: Dispatcher.DispatchHandler) {
    super(destination, options)
    this.#owner = owner
    this.#destination = destination
    this.#scope = handler instanceof AsyncResource ? handler : new AsyncResource('INMESH_CALL')
    this.handler = this.requiredIds === undefined ? handler : new ScopedHandler(handler, this.#scope)
    if (isStream(options.body)) this.#bodyWatch = new BodyWatch(options.body, (error) => this.#giveUp(BODY_FAILED, error))
    this.#route = destination.table.route(this)
  }

  get clock(): Clock {
    return this.#owner.runtime.clock
  }

  get leftMs(): number {
    return this.behalf.leftMs(this.#startedAt, this.#route.timeoutMs, this.clock.now())
  }

  // === the way out

  /** Begins. The application's handler is told at once, so that it can abort before there is a connection. */
  start(): void {
    this.#startedAt = this.clock.now()
    const { service, retry, timeoutMs } = this.#route
    service.observer.callStarted(this, this.#route)
    if (service.breaker !== undefined) {
      this.#permit = service.breaker.admit()
      if (this.#permit === undefined) return this.#breakerOpen(service.breaker)
    }
    retry.deposit()
    if (timeoutMs > 0)
      this.#deadline = this.clock.after(timeoutMs, () =>
        this.#giveUp(TIMEOUT, timedOut(this.#route, this.#attempts, this.current?.attempt)),
      )
    this.#announce()
    if (!this.done) this.behalf.bind(this)
    if (!this.done) this.#send(undefined, this.#startedAt)
  }

  #announce(): void {
    try {
      this.handler.onRequestStart?.(this, null)
    } catch (error) {
      this.#fail(BODY_FAILED, error as Error)
    }
  }

  /** Answers in the service's place, if its breaker has been given an answer for that; as any answer, not before `dispatch` is over. */
  #breakerOpen(breaker: ServiceBreaker): void {
    const error = breakerOpen(this.#route)
    const answer = breaker.answer(this, error)
    this.#announce()
    if (this.done) return
    if (answer === undefined) this.#fail(BREAKER_OPEN, error)
    else queueMicrotask(() => answerInstead(this, answer))
  }

  #send(previous: Endpoint | undefined, now = this.clock.now()): void {
    const { service, hedge } = this.#route
    const attempt = service.attempt(this, this.#route, this.#attempts + 1, previous, now)
    if (attempt === undefined) return this.#wait(previous)
    const handler = new AttemptHandler(this, attempt, this.#destination.pool(attempt.endpoint))
    this.current = handler
    if (hedge !== undefined) this.race(hedge, service, handler)
    this.#dispatch(handler, now)
  }

  hedge(used: readonly Endpoint[]): void {
    const attempt = this.#route.service.hedge(this, this.#route, this.#attempts + 1, used)
    if (attempt === undefined) return
    const handler = new AttemptHandler(this, attempt, this.#destination.pool(attempt.endpoint))
    this.hedging?.join(handler)
    this.#scope.runInAsyncScope(this.#dispatch, this, handler, attempt.startedAt)
  }

  #dispatch(handler: AttemptHandler, now: number): void {
    const { timeoutMs, perTryTimeoutMs } = this.#route
    const leftMs = this.behalf.leftMs(this.#startedAt, timeoutMs, now)
    const tryMs = perTryTimeoutMs > 0 && perTryTimeoutMs < leftMs ? perTryTimeoutMs : leftMs
    const options = this.optionsFor(++this.#attempts, this.#owner.name, tryMs)
    if (perTryTimeoutMs > 0) handler.bound(perTryTimeoutMs)
    handler.dispatch(options)
  }

  #wait(previous: Endpoint | undefined): void {
    const { service } = this.#route
    const arrived = (ready: boolean): void => {
      this.#leave = undefined
      if (ready) this.#send(previous)
      else this.#refuse()
    }
    this.#leave = service.whenReady((ready) => this.#scope.runInAsyncScope(arrived, undefined, ready))
    if (this.#leave === undefined) this.#refuse()
  }

  #refuse(): void {
    const { service } = this.#route
    this.#fail(service.counts.total === 0 ? NO_ENDPOINT : REFUSED, service.refusal(this.#attempts, this))
  }

  // === the way back, told by the current attempt

  informed(controller: Raw, status: number, headers: Headers, statusText?: string): void {
    this.rawHeaders = controller.rawHeaders ?? null
    this.handler.onResponseStart?.(this, status, headers as never, statusText)
  }

  answered(controller: Raw, status: number, headers: Headers, statusText?: string): void {
    this.#status = status
    this.rawHeaders = controller.rawHeaders ?? null
    this.#resending?.settled()
    this.handler.onResponseStart?.(this, status, headers as never, statusText)
  }

  ended(controller: Raw, trailers: Headers, verdict: Verdict, now: number): void {
    this.rawTrailers = controller.rawTrailers ?? null
    this.#conclude(verdict, trailers, now)
  }

  upgraded(controller: Raw, status: number, headers: Headers, socket: Duplex): void {
    this.#status = status
    this.rawHeaders = controller.rawHeaders ?? null
    // before the end of the call: a handler that dislikes the answer aborts here
    this.handler.onRequestUpgrade?.(this, status, headers as never, socket)
    if (!this.done) this.#finish(OK)
  }

  failed(handler: AttemptHandler, verdict: Verdict, error: Error): void {
    if (this.#status > 0 || verdict.outcome === 'ignored') return this.#fail(verdict, error)
    if (verdict.resend !== 'never' && this.resends(handler, verdict)) return
    const note = verdict.resend !== 'never' && this.isTooLong ? ' (too much of its body was sent to send it again)' : ''
    this.#fail(verdict, attemptsFailed(handler.attempt, verdict, error, note, this.#attempts))
  }

  // === sending again

  /** Asks whether a failed attempt is followed by another, and if so sees to it. */
  resends(handler: AttemptHandler, verdict: Verdict): boolean {
    if (this.aborted || this.#status > 0) return false
    if (this.loses(handler, verdict)) return true
    if (!this.repeatable(handler.sent)) return false
    const { leftMs } = this
    const waitMs = this.#route.retry.next(this.hedging?.latest ?? handler.attempt, verdict, leftMs)
    if (waitMs < 0 || waitMs >= leftMs) return false
    this.current = undefined
    if (this.#resending === undefined) this.#startResending(waitMs, handler.attempt.endpoint)
    else this.#resending.again(waitMs, handler.attempt.endpoint)
    return true
  }

  #startResending(waitMs: number, endpoint: Endpoint): void {
    const resending = new Resending(waitMs, endpoint, (previous) => this.done || this.#send(previous))
    this.#resending = resending
    const run = this.#scope.runInAsyncScope(resending.run, resending, this.#owner.runtime) as Promise<void>
    run.catch((error) => this.#giveUp(CANCELLED, error as Error))
  }

  // === time

  /** The answer's head did not come in time. */
  tooLate(handler: AttemptHandler): void {
    // What was not written yet never will be, so any call may be sent again.
    const verdict = handler.sent ? TRY_TIMEOUT : CONNECT_TIMEOUT
    const error = tryTimedOut(handler.attempt, handler.sent ? 'answer' : 'connection')
    if (this.current === handler) this.current = undefined
    handler.abandon(verdict)
    this.failed(handler, verdict, error)
  }

  // === as the application's controller

  abort(reason?: Error): void {
    if (this.aborted || this.done) return
    this.aborted = true
    this.reason = reason ?? new errors.RequestAbortedError()
    const { current } = this
    this.hedging?.keep(current)
    if (current?.controller !== undefined) return current.controller.abort(this.reason)
    this.#giveUp(this.abortVerdict, this.reason)
  }

  // === the end

  /** The mesh is being destroyed. */
  destroy(error: Error): void {
    this.#giveUp(CLOSED, error)
  }

  /** Ends the call from our side, whatever its attempt does. */
  #giveUp(verdict: Verdict, error: Error): void {
    const { current } = this
    this.current = undefined
    current?.abandon(verdict)
    this.#fail(verdict, error)
  }

  #fail(verdict: Verdict, error: Error): void {
    if (this.done) return
    this.current = undefined
    this.#finish(verdict)
    this.handler.onResponseError?.(this, error)
    // after the handler, which ends the application's stream with the error
    this.closeBody()
  }

  #conclude(verdict: Verdict, trailers: Headers, now: number): void {
    this.#finish(verdict, now)
    this.releaseBody()
    try {
      this.handler.onResponseEnd?.(this, trailers as never)
    } catch (error) {
      this.handler.onResponseError?.(this, error as Error)
    }
  }

  #finish(verdict: Verdict, now = this.clock.now()): void {
    this.done = true
    this.#deadline?.cancel()
    this.#leave?.()
    this.#leave = undefined
    this.hedging?.stop(verdict)
    this.#resending?.settled()
    this.#bodyWatch?.stop()
    this.behalf.stop()
    this.#permit?.end(verdict)
    const { service } = this.#route
    service.observer.callEnded(this, this.#route, verdict, now - this.#startedAt, this.#attempts, this.#status)
    this.#owner.exchangeEnded(this)
  }
}
