import type { Metadata, StatusObject } from '@grpc/grpc-js'
import type { Attempt } from '../../core/attempt.ts'
import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { HedgePolicy } from '../../core/hedge-policy.ts'
import type { Route } from '../../core/route.ts'
import type { Service } from '../../core/service.ts'
import type { Verdict } from '../../core/verdict.ts'
import { type HedgeableCall, Hedging } from '../hedging.ts'
import { AttemptCall } from './attempt-call.ts'
import { CallTime } from './call-time.ts'
import { ClientCall } from './client-call.ts'
import type { CallSettings, ExchangeOwner } from './exchange-owner.ts'

/** A call of which several attempts may be under way, and which of them counts. */
export abstract class RacingCall extends ClientCall implements HedgeableCall {
  protected readonly owner: ExchangeOwner
  protected readonly settings: CallSettings
  protected readonly time: CallTime
  /** From the start on, unless the channel is closed. */
  protected route: Route | undefined
  /** How many were made. */
  protected attempts = 0
  /** Only on a route that hedges. */
  protected hedging: Hedging<AttemptCall> | undefined

  constructor(owner: ExchangeOwner, settings: CallSettings) {
    super(owner.authority, settings.path, owner.isIdempotent)
    this.owner = owner
    this.settings = settings
    this.time = new CallTime(owner.runtime.clock)
  }

  /** Of the application's own. */
  get secure(): boolean {
    return this.owner.secure
  }

  get clock(): Clock {
    return this.owner.runtime.clock
  }

  get leftMs(): number {
    return this.time.leftMs
  }

  get canHedge(): boolean {
    return this.outbox.whole && this.owner.closed === undefined
  }

  hedge(used: readonly Endpoint[]): void {
    const route = this.route as Route
    const attempt = route.service.hedge(this, route, this.attempts + 1, used)
    if (attempt !== undefined) this.scope.runInAsyncScope(this.#sendBeside, this, attempt)
  }

  #sendBeside(attempt: Attempt): void {
    const call = this.callOf(attempt)
    this.hedging?.join(call)
    call.start(this.metadataFor(attempt.number), this.reading)
  }

  /** A call on the endpoint's own channel, not started yet. */
  protected callOf(attempt: Attempt): AttemptCall {
    this.attempts++
    const channel = this.owner.channelTo(attempt.endpoint)
    channel.used = true
    const { path, host } = this.settings
    const call = channel.channel.createCall(path, this.time.deadline, host, null, null)
    if (this.credentials !== undefined) call.setCredentials(this.credentials)
    const handler = new AttemptCall(this, attempt, call)
    const { perTryTimeoutMs } = attempt.route
    if (perTryTimeoutMs > 0) handler.bound(perTryTimeoutMs)
    handler.awaitConnection(channel, this.owner.connectTimeoutMs)
    return handler
  }

  // === the way back, told by the attempt that counts

  abstract answered(attempt: AttemptCall, metadata: Metadata): void
  abstract received(message: Buffer): void
  abstract ended(attempt: AttemptCall, status: StatusObject): void
  abstract tooLate(attempt: AttemptCall, limitMs: number): void

  // === several at once

  /** Whether an attempt that is not the current one may still become it. */
  races(attempt: AttemptCall): boolean {
    return this.hedging?.has(attempt) === true
  }

  /** An attempt is about to be sent on a route that hedges. */
  protected race(policy: HedgePolicy, service: Service, attempt: AttemptCall): void {
    if (this.hedging === undefined && policy.covers(this)) this.hedging = new Hedging(policy, service, this)
    this.hedging?.join(attempt)
  }

  /** @returns whether others are under way, so that nobody need hear of its failure */
  protected loses(attempt: AttemptCall, verdict: Verdict): boolean {
    if (this.hedging === undefined || !this.hedging.lost(attempt, verdict)) return false
    this.#follow(this.hedging.leader as AttemptCall)
    return true
  }

  /** An attempt is answered. */
  elect(attempt: AttemptCall): void {
    this.hedging?.won(attempt)
    this.#follow(attempt)
  }

  /** The client may have asked for a message since it began: asking twice for the first is harmless. */
  #follow(attempt: AttemptCall): void {
    if (this.current === attempt) return
    this.current = attempt
    this.last = attempt
    if (this.reading) attempt.read()
  }
}
