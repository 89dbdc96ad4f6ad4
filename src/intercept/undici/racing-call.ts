import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { HedgePolicy } from '../../core/hedge-policy.ts'
import type { Service } from '../../core/service.ts'
import type { Verdict } from '../../core/verdict.ts'
import { type HedgeableCall, Hedging } from '../hedging.ts'
import type { AttemptHandler } from './attempt-handler.ts'
import { UndiciCall } from './undici-call.ts'

/** A call of which several attempts may be under way, and which of them counts. */
export abstract class RacingCall extends UndiciCall implements HedgeableCall {
  /** The attempt whose events reach the application; of several, the oldest until one is answered. */
  current: AttemptHandler | undefined
  paused = false
  /** Only on a route that hedges. */
  protected hedging: Hedging<AttemptHandler> | undefined

  abstract readonly clock: Clock
  abstract readonly leftMs: number
  abstract hedge(used: readonly Endpoint[]): void

  /** Whether an attempt that is not the current one may still become it. */
  races(handler: AttemptHandler): boolean {
    return this.hedging?.has(handler) === true
  }

  /** An attempt is about to be sent on a route that hedges. */
  protected race(policy: HedgePolicy, service: Service, handler: AttemptHandler): void {
    if (this.hedging === undefined && policy.covers(this)) this.hedging = new Hedging(policy, service, this)
    this.hedging?.join(handler)
  }

  /** @returns whether others are under way, so that nobody need hear of its failure */
  protected loses(handler: AttemptHandler, verdict: Verdict): boolean {
    if (this.hedging === undefined || !this.hedging.lost(handler, verdict)) return false
    this.#follow(this.hedging.leader as AttemptHandler)
    return true
  }

  /** An attempt is answered. */
  elect(handler: AttemptHandler): void {
    this.hedging?.won(handler)
    this.#follow(handler)
  }

  /** It may have been told to pause as the application did, which has gone on since; or the other way round. */
  #follow(handler: AttemptHandler): void {
    if (this.current === handler) return
    this.current = handler
    if (this.paused) handler.controller?.pause()
    else handler.controller?.resume()
  }

  // === as the application's controller

  pause(): void {
    this.paused = true
    this.current?.controller?.pause()
  }

  resume(): void {
    this.paused = false
    this.current?.controller?.resume()
  }
}
