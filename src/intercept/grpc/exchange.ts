import { type InterceptingListener, type Metadata, status as Status, type StatusObject } from '@grpc/grpc-js'
import type { Endpoint } from '../../core/endpoint.ts'
import type { Route } from '../../core/route.ts'
import type { CallPermit } from '../../core/service-breaker.ts'
import {
  BODY_FAILED,
  BREAKER_OPEN,
  CANCELLED,
  CLOSED,
  CONNECT_TIMEOUT,
  NO_ENDPOINT,
  REFUSED,
  TIMEOUT,
  TRY_TIMEOUT,
  type Verdict,
} from '../../core/verdict.ts'
import { Resending } from '../resending.ts'
import type { AttemptCall, GrpcCall } from './attempt-call.ts'
import { breakerOpen, deliver, lastStatus, refused, statusOf, timedOut } from './call-statuses.ts'
import { type Caller, callerOf } from './caller.ts'
import type { CallSettings, ExchangeOwner } from './exchange-owner.ts'
import { judgeAttempt } from './judge-status.ts'
import { isEmpty } from './metadata-entries.ts'
import { RacingCall } from './racing-call.ts'

/** After how long a call that waits until there is a connection tries again, in milliseconds. */
const TRY_AGAIN_MS = 250

/**
 * One call through grpc-js, from `start()` to its status, over however many attempts. It is the `Call` that strategies see and the call that
 * the application's client holds, below its interceptors.
 *
 * It is committed to an attempt when the server begins to answer: with initial metadata or a message. A status alone is no such beginning.
 */
export class Exchange extends RacingCall implements GrpcCall {
  readonly #caller: Caller
  #listener: InterceptingListener | undefined
  #permit: CallPermit | undefined
  /** No attempt is under way, and there may be another. */
  #waits = false
  /** Leaves the queue of those who wait for an endpoint. */
  #leave: (() => void) | undefined
  #resending: Resending | undefined
  /** What a call was ended with before it was started. */
  #early: StatusObject | undefined

  constructor(owner: ExchangeOwner, settings: CallSettings) {
    super(owner, settings)
    this.#caller = callerOf(settings.parent, settings.flags)
  }

  override get resent(): boolean {
    return this.#caller.isResend
  }

  protected override numberOf(attempt: number): number {
    return this.#caller.numberOf(attempt)
  }

  protected get target(): string {
    return this.owner.getTarget()
  }

  // === as the client's call

  start(metadata: Metadata, listener: InterceptingListener): void {
    this.#listener = listener
    if (isEmpty(metadata) && !this.#caller.hasTrace) this.metadata = this.owner.metadata
    else this.takeMetadata(metadata, this.owner.name)
    if (this.#caller.hasTrace) this.#caller.passTraceOn(this.metadata)
    if (this.#early !== undefined) return this.#deliverLater(this.#early)
    const { closed, table } = this.owner
    if (closed !== undefined) {
      this.done = true
      return this.#deliverLater(statusOf(Status.UNAVAILABLE, closed))
    }
    this.route = table.route(this)
    this.#begin(this.route)
  }

  cancelWithStatus(code: Status, details: string): void {
    if (this.done) return
    if (this.route !== undefined)
      return this.#giveUp(code === Status.CANCELLED ? CANCELLED : BODY_FAILED, statusOf(code, details))
    this.done = true
    this.#early = statusOf(code, details)
  }

  getCallNumber(): number {
    return this.owner.nextCallNumber()
  }

  // === the way out

  #begin(route: Route): void {
    const { service, retry, timeoutMs } = route
    this.owner.exchangeStarted()
    service.observer.callStarted(this, route)
    if (service.breaker !== undefined) {
      this.#permit = service.breaker.admit()
      if (this.#permit === undefined) return this.#settle(BREAKER_OPEN, breakerOpen(route))
    }
    retry.deposit()
    this.time.start(this.#caller.deadline(this.settings.deadline), this.#caller.inheritedDeadline, timeoutMs)
    if (this.time.over) return this.#settle(TIMEOUT, this.#timedOut())
    if (this.#caller.mayLeave) this.#caller.onLeave((why) => this.#callerLeft(why))
    if (!this.done) this.#send(route, undefined)
  }

  #callerLeft(why: string): void {
    if (this.time.over) this.#giveUp(TIMEOUT, this.#timedOut())
    else this.#giveUp(CANCELLED, statusOf(Status.CANCELLED, why))
  }

  #send(route: Route, previous: Endpoint | undefined): void {
    const attempt = route.service.attempt(this, route, this.attempts + 1, previous)
    if (attempt === undefined) return this.#wait(route, previous)
    if (this.#waits) this.#goOn()
    const handler = this.callOf(attempt)
    if (route.hedge !== undefined) this.race(route.hedge, route.service, handler)
    this.take(handler, this.metadataFor(attempt.number))
  }

  #wait(route: Route, previous: Endpoint | undefined): void {
    const arrived = (ready: boolean): void => {
      this.#leave = undefined
      if (ready) this.#send(route, previous)
      else this.#refuse(route)
    }
    const { scope } = this
    this.#leave = route.service.whenReady((ready) => scope.runInAsyncScope(arrived, undefined, ready))
    if (this.#leave === undefined) this.#refuse(route)
    else this.#pause()
  }

  /** No attempt is under way; there may be one after `ms`, or when somebody says so. */
  #pause(ms?: number, next?: () => void): void {
    this.#waits = true
    this.owner.exchangeWaits(this)
    this.time.wait(() => this.#giveUp(TIMEOUT, this.#timedOut()), ms, next)
  }

  #goOn(): void {
    this.#waits = false
    this.owner.exchangeGoes(this)
    this.time.goOn()
  }

  #refuse(route: Route): void {
    if (this.#waitsOn(route)) return
    const { service } = route
    this.#settle(service.counts.total === 0 ? NO_ENDPOINT : REFUSED, refused(service.refusal(this.attempts, this)))
  }

  /** A call that asked to wait until it can be sent goes on trying. */
  #waitsOn(route: Route): boolean {
    if (!this.waitsForReady || !this.outbox.complete || this.owner.closed !== undefined) return false
    this.#pause(TRY_AGAIN_MS, () => this.#send(route, undefined))
    return true
  }

  // === the way back, told by the current attempt

  answered(handler: AttemptCall, metadata: Metadata): void {
    this.#resending?.settled()
    this.noteAttempts(metadata, handler.attempt.number)
    this.#listener?.onReceiveMetadata(metadata)
  }

  received(message: Buffer): void {
    this.#listener?.onReceiveMessage(message)
  }

  ended(handler: AttemptCall, status: StatusObject): void {
    this.current = undefined
    if (status.code === Status.DEADLINE_EXCEEDED && this.time.over) {
      handler.end(TIMEOUT)
      return this.#settle(TIMEOUT, this.time.isOwn ? status : this.#timedOut())
    }
    const { progress } = handler
    const verdict = judgeAttempt(status, progress)
    const now = this.clock.now()
    handler.end(verdict, now)
    if (progress !== 'answering') return this.#unanswered(handler, verdict, status)
    this.#finish(handler.attempt.route, verdict, status, now)
    this.#listener?.onReceiveStatus(status)
  }

  /** The attempt ended, and the server had not begun to answer. */
  #unanswered(handler: AttemptCall, verdict: Verdict, status: StatusObject): void {
    const { attempt } = handler
    if (this.loses(handler, verdict)) return
    if (verdict.resend !== 'never') {
      if (this.#resends(handler, verdict)) return
      if (verdict.resend === 'safe' && this.#waitsOn(attempt.route)) return
    }
    const note = verdict.resend !== 'never' && !this.outbox.complete ? ' (too much of it was sent to send it again)' : ''
    const shown = lastStatus(handler, verdict, status, note, this.attempts)
    this.noteAttempts(shown.metadata, attempt.number)
    this.#finish(attempt.route, verdict, shown)
    this.#listener?.onReceiveStatus(shown)
  }

  // === sending again

  /** Asks whether a failed attempt is followed by another, and if so sees to it. */
  #resends({ attempt }: AttemptCall, verdict: Verdict): boolean {
    if (!this.outbox.complete || this.owner.closed !== undefined) return false
    const { leftMs } = this
    const waitMs = attempt.route.retry.next(this.hedging?.latest ?? attempt, verdict, leftMs)
    if (waitMs < 0 || waitMs >= leftMs) return false
    this.#pause()
    if (this.#resending === undefined) this.#startResending(attempt.route, waitMs, attempt.endpoint)
    else this.#resending.again(waitMs, attempt.endpoint)
    return true
  }

  #startResending(route: Route, waitMs: number, endpoint: Endpoint): void {
    const resending = new Resending(waitMs, endpoint, (previous) => {
      if (!this.done) this.#send(route, previous)
    })
    this.#resending = resending
    const run = this.scope.runInAsyncScope(resending.run, resending, this.owner.runtime) as Promise<void>
    run.catch((error: Error) => this.#giveUp(CANCELLED, statusOf(Status.INTERNAL, error.message)))
  }

  // === time

  /** The answer's head did not come in time, or not even a connection. */
  tooLate(handler: AttemptCall, limitMs: number): void {
    this.current = undefined
    handler.cancel()
    // What was not written yet never will be, so any call may be sent again.
    const [verdict, code, what] = handler.progress === 'unsent' ? NO_CONNECTION : NO_ANSWER
    handler.end(verdict)
    this.#unanswered(handler, verdict, statusOf(code, `no ${what} within ${limitMs} ms`))
  }

  #timedOut(): StatusObject {
    return timedOut(this.route as Route, this.time.elapsedMs(), this.attempts, this.last)
  }

  // === the end

  /** The channel closes while no attempt is under way. */
  channelClosed(why: string): void {
    this.#giveUp(CLOSED, statusOf(Status.UNAVAILABLE, why))
  }

  #giveUp(verdict: Verdict, status: StatusObject): void {
    if (this.done) return
    const { current } = this
    this.current = undefined
    current?.cancel(status.code, status.details)
    current?.end(verdict)
    this.#settle(verdict, status)
  }

  #settle(verdict: Verdict, status: StatusObject): void {
    this.#finish(this.route as Route, verdict, status)
    this.#deliverLater(status)
  }

  #finish({ service }: Route, verdict: Verdict, { code }: StatusObject, now: number = this.clock.now()): void {
    this.done = true
    this.statusCode = code
    if (this.#waits) this.#goOn()
    this.#caller.stop()
    this.#leave?.()
    this.#leave = undefined
    this.hedging?.stop(verdict)
    this.#resending?.settled()
    this.#permit?.end(verdict)
    const status = verdict.outcome === 'success' ? 200 : 0
    service.observer.callEnded(this, this.route as Route, verdict, this.time.elapsedMs(now), this.attempts, status)
    this.outbox.release()
    this.owner.exchangeEnded()
  }

  /** Not before the client has done with what it is just doing: its caller has no listeners on the call yet. */
  #deliverLater(status: StatusObject): void {
    process.nextTick(deliver, this.#listener, status)
  }
}

const NO_CONNECTION = [CONNECT_TIMEOUT, Status.UNAVAILABLE, 'connection'] as const
const NO_ANSWER = [TRY_TIMEOUT, Status.DEADLINE_EXCEEDED, 'answer'] as const
