import { AsyncResource } from 'node:async_hooks'
import type { IncomingMessage } from 'node:http'
import type { Attempt } from '../../core/attempt.ts'
import type { Timer } from '../../core/clock.ts'
import { LEAVING_HEADER, OVERLOADED_HEADER } from '../../core/context-headers.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { LOAD_REPORT_HEADER } from '../../core/load-report.ts'
import { retryAfterMs } from '../../core/retry-after.ts'
import type { Route } from '../../core/route.ts'
import type { CallPermit, ServiceBreaker } from '../../core/service-breaker.ts'
import {
  BREAKER_OPEN,
  BROKEN_OFF,
  CANCELLED,
  CLOSED,
  CONNECT_TIMEOUT,
  judgeStatus,
  NO_ENDPOINT,
  OK,
  REFUSED,
  RESET,
  TIMEOUT,
  TRY_TIMEOUT,
  type Verdict,
} from '../../core/verdict.ts'
import { attemptsFailed, breakerOpen, timedOut, tryTimedOut } from '../call-errors.ts'
import { Resending } from '../resending.ts'
import type { MeshedRequest, RequestOptions } from './agent-contract.ts'
import type { Destination } from './destination.ts'
import type { EndpointSockets, Passenger } from './endpoint-sockets.ts'
import type { ExchangeOwner } from './exchange-owner.ts'
import { HttpCall } from './http-call.ts'
import { judgeError } from './judge-error.ts'
import { MadeAnswer } from './made-answer.ts'
import { watchRequest } from './request-events.ts'

/**
 * One call through node:http, from the request's making to its 'close', over however many attempts. It is the `Call` that strategies
 * see, and looks on at the application's own `ClientRequest`, which it never replaces.
 *
 * Until the request has a socket, nothing of it is written, so failed connections are followed by others for any method and body. From
 * then on it is Node's: its errors are the application's.
 */
export class Exchange extends HttpCall implements Passenger {
  readonly #owner: ExchangeOwner
  readonly #destination: Destination
  readonly #options: RequestOptions
  readonly #route: Route
  /** -1 until the first attempt or the first wait. */
  #startedAt = -1
  #attempts = 0
  #attempt: Attempt | undefined
  #sockets: EndpointSockets | undefined
  #response: IncomingMessage | undefined
  /** What the answer's head said. */
  #answer: Verdict = OK
  /** How it ended, as soon as that is sure. */
  #verdict: Verdict | undefined
  /** The request has no socket yet: it is ours to fail. */
  #pending = false
  #watched = false
  #done = false
  #deadline: Timer | undefined
  #tryTimer: Timer | undefined
  /** Stops what the request is waiting for: a connection, or an endpoint. */
  #cancelWait: (() => void) | undefined
  #resending: Resending | undefined
  #permit: CallPermit | undefined

  constructor(owner: ExchangeOwner, destination: Destination, request: MeshedRequest, options: RequestOptions) {
    super(destination, request)
    this.#owner = owner
    this.#destination = destination
    this.#options = options
    this.#route = destination.table.route(this)
  }

  // === the way out

  start(): void {
    const { request } = this
    const { service, retry, timeoutMs } = this.#route
    watchRequest(request, this)
    service.observer.callStarted(this, this.#route)
    if (service.breaker !== undefined) {
      this.#permit = service.breaker.admit()
      if (this.#permit === undefined) return this.#breakerOpen(service.breaker)
    }
    retry.deposit()
    const { name, runtime } = this.#owner
    this.begin(name, timeoutMs, runtime.clock)
    if (request.destroyed) return this.#fail(CANCELLED, undefined)
    if (timeoutMs > 0) this.#deadline = runtime.clock.after(timeoutMs, () => this.#outOfTime())
    this.#send(undefined)
  }

  /** Answers in the service's place, if its breaker has been given an answer for that. */
  #breakerOpen(breaker: ServiceBreaker): void {
    const error = breakerOpen(this.#route)
    const answer = breaker.answer(this, error)
    if (answer === undefined) return this.#fail(BREAKER_OPEN, error)
    this.#verdict = BREAKER_OPEN
    this.request.onSocket(new MadeAnswer(answer, this.method))
  }

  #send(previous: Endpoint | undefined): void {
    const attempt = this.#route.service.attempt(this, this.#route, this.#attempts + 1, previous)
    if (attempt === undefined) return this.#wait(previous)
    this.#attempts++
    this.#attempt = attempt
    if (this.#startedAt < 0) this.#startedAt = attempt.startedAt
    if (this.#pending) this.#go()
    this.#sockets = this.#destination.sockets(attempt.endpoint)
    if (this.#route.perTryTimeoutMs > 0) this.#timeTry(attempt, this.#route.perTryTimeoutMs)
    this.#sockets.send(this.request, this.#options, this, attempt.startedAt)
    // A kept connection was used.
    if (this.#resending !== undefined && !this.#pending) this.#resending.settled()
  }

  #wait(previous: Endpoint | undefined): void {
    const context = new AsyncResource('InmeshWait')
    this.#hold()
    this.#cancelWait = this.#route.service.whenReady((ready) => {
      this.#cancelWait = undefined
      context.runInAsyncScope(() => (ready ? this.#send(previous) : this.#refuse()))
    })
    if (this.#cancelWait === undefined) this.#refuse()
  }

  #refuse(): void {
    const { service } = this.#route
    this.#fail(service.counts.total === 0 ? NO_ENDPOINT : REFUSED, service.refusal(this.#attempts, this))
  }

  // === as a Passenger

  connecting(cancel: () => void): void {
    this.#cancelWait = cancel
    this.#hold()
  }

  connected(): void {
    this.#cancelWait = undefined
    this.#go()
    this.#resending?.settled()
  }

  unconnected(error: Error, verdict: Verdict): void {
    const attempt = this.#attempt as Attempt
    this.#cancelWait = undefined
    this.#tryTimer?.cancel()
    this.#hold()
    attempt.end(verdict)
    const { retry, timeoutMs } = this.#route
    const leftMs = this.behalf.leftMs(this.#startedAt, timeoutMs, this.#owner.runtime.clock.now())
    const waitMs = retry.next(attempt, verdict, leftMs)
    if (waitMs < 0 || waitMs >= leftMs) return this.#fail(verdict, attemptsFailed(attempt, verdict, error))
    if (this.#resending !== undefined) return this.#resending.again(waitMs, attempt.endpoint)
    this.#resending = new Resending(waitMs, attempt.endpoint, (previous) => {
      if (this.#verdict === undefined) this.#send(previous)
    })
    this.#resending.run(this.#owner.runtime).catch((failure) => this.#fail(CANCELLED, failure as Error))
  }

  /** As while Node itself is connecting. */
  connectTimedOut(): void {
    this.request.emit('timeout')
  }

  /** The request waits without a socket: it would not notice its own end until it has one, so we do. */
  #hold(): void {
    this.#pending = true
    this.#owner.exchangeWaits(this)
    if (this.#watched) return
    this.#watched = true
    if (this.#startedAt < 0) this.#startedAt = this.#owner.runtime.clock.now()
    const { request } = this
    const destroy = request.destroy
    request.destroy = (error) => {
      destroy.call(request, error)
      this.#fail(CANCELLED, undefined)
      return request
    }
  }

  /** The request no longer waits. */
  #go(): void {
    this.#pending = false
    this.#owner.exchangeGoes(this)
  }

  // === the way back, told by the request

  answered(response: IncomingMessage): void {
    this.#tryTimer?.cancel()
    this.#response = response
    if (!this.request.reusedSocket) this.#sockets?.heard(response.headers['keep-alive'] as string | undefined)
    const status = response.statusCode as number
    if (status >= 429) {
      const { headers } = response
      this.#answer = judgeStatus(status, retryAfterMs(headers['retry-after'], headers.date), OVERLOADED_HEADER in headers)
    }
    const attempt = this.#attempt
    if (attempt !== undefined) {
      attempt.status = status
      attempt.answered(this.#answer)
      if (LEAVING_HEADER in response.headers) this.#route.service.leaving(attempt.endpoint)
      if (LOAD_REPORT_HEADER in response.headers) attempt.loadReported(response.headers[LOAD_REPORT_HEADER])
    }
  }

  failed(error: Error): void {
    if (this.#verdict !== undefined || this.#response?.complete) return
    const { request } = this
    this.#verdict = request.destroyed ? CANCELLED : judgeError(error, this.#response !== undefined)
    const { reusedSocket, socket } = request
    if (this.#verdict === RESET && reusedSocket && socket !== null)
      this.#sockets?.resetOnReuse(socket, (this.#attempt as Attempt).startedAt)
  }

  closed(): void {
    if (this.#done) return
    this.#done = true
    const verdict = this.#verdict ?? this.#ending()
    this.#deadline?.cancel()
    this.#tryTimer?.cancel()
    this.behalf.stop()
    const now = this.#owner.runtime.clock.now()
    this.#attempt?.end(verdict, now)
    this.#permit?.end(verdict)
    if (this.#pending) this.#go()
    const status = this.#response?.statusCode ?? this.request.res?.statusCode ?? 0
    const elapsedMs = this.#startedAt < 0 ? 0 : now - this.#startedAt
    this.#route.service.observer.callEnded(this, this.#route, verdict, elapsedMs, this.#attempts, status)
    this.#owner.exchangeEnded()
  }

  /** How it went when there was no error. */
  #ending(): Verdict {
    const { request } = this
    if (this.#response?.complete) return this.#answer
    if (this.#response !== undefined) return request.socket?.readableEnded ? BROKEN_OFF : CANCELLED
    // An upgrade, or the answer to CONNECT: from here on the connection is the application's.
    return request.res ? judgeStatus(request.res.statusCode as number) : CANCELLED
  }

  // === time

  /** Time that this process itself stood still is given back to the attempt. */
  #timeTry(attempt: Attempt, ms: number): void {
    this.#tryTimer = this.#owner.runtime.clock.after(ms, () => {
      const now = this.#owner.runtime.clock.now()
      const left = this.#route.perTryTimeoutMs - (now - attempt.startedAt - attempt.stalledMs(now))
      if (left >= 1) this.#timeTry(attempt, left)
      else this.#tryTimeout(attempt)
    })
  }

  #tryTimeout(attempt: Attempt): void {
    if (!this.#pending) return this.#breakOff(TRY_TIMEOUT, attemptsFailed(attempt, TRY_TIMEOUT, tryTimedOut(attempt, 'answer')))
    this.#cancelWait?.()
    this.unconnected(tryTimedOut(attempt, 'connection'), CONNECT_TIMEOUT)
  }

  #outOfTime(): void {
    const error = timedOut(this.#route, this.#attempt?.number ?? 0, this.#attempt)
    if (this.#pending) this.#fail(TIMEOUT, error)
    else this.#breakOff(TIMEOUT, error)
  }

  // === the end

  /** The agent is being destroyed. What has a socket learns it from that. */
  destroy(error: Error): void {
    this.#fail(CLOSED, error)
  }

  /** Ends a request that has no socket; without an error, one that its application has destroyed. */
  #fail(verdict: Verdict, error: Error | undefined): void {
    if (this.#verdict !== undefined || (this.#attempt !== undefined && !this.#pending)) return
    this.#verdict = verdict
    this.#cancelWait?.()
    this.#resending?.settled()
    this.#attempt?.end(verdict)
    this.request.onSocket(null, error)
  }

  /** Ends a request that has its socket. */
  #breakOff(verdict: Verdict, error: Error): void {
    if (this.#verdict !== undefined) return
    this.#verdict = verdict
    if (this.#response === undefined) this.request.destroy(error)
    else this.#response.destroy(error)
  }
}
