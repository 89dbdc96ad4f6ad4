import type { Attempt } from '../core/attempt.ts'
import type { Clock, Timer } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { HedgePolicy } from '../core/hedge-policy.ts'
import type { Service } from '../core/service.ts'
import { CANCELLED, TIMEOUT, type Verdict } from '../core/verdict.ts'

/** An attempt as a door holds it. */
export interface Rival {
  readonly attempt: Attempt
  /** Ends it, unless it has ended; what it still does reaches nobody. */
  abandon(verdict: Verdict): void
}

/** A call as hedging sees it. */
export interface HedgeableCall {
  readonly clock: Clock
  /** Until nobody waits for the answer any more, in milliseconds; Infinity for never. */
  readonly leftMs: number
  /** All that was sent of it is still here, for several attempts side by side. */
  readonly canHedge: boolean
  /** Sends one more attempt, to none of these endpoints; it has to `join`. Does nothing when there is no other endpoint. */
  hedge(used: readonly Endpoint[]): void
}

/**
 * The attempts of one call that are under way side by side, and the timer of the next. One a call whose route hedges; shared by the doors.
 *
 * - An answer that is worth having wins, and so does an error that sending again would not mend: the others are cancelled at once.
 * - A failure that may be sent again reaches nobody while others are under way, and the next attempt follows at once, or after as long as the
 *   server asks (`Retry-After`, `grpc-retry-pushback-ms`); a server that asks not to be asked again ends the hedging (gRFC A6).
 * - The failure of the last one under way is the retry policy's.
 *
 * Losers end as `cancelled`: their breaker learns nothing. Their load meter learns how long they had been waited for, which says that the
 * answer takes longer than that; without it an endpoint that always loses would look as it did before.
 */
export class Hedging<R extends Rival> {
  readonly #policy: HedgePolicy
  readonly #service: Service
  readonly #call: HedgeableCall
  /** In the order in which they were sent. */
  #running: R[] = []
  readonly #used: Endpoint[] = []
  #latest: Attempt | undefined
  #timer: Timer | undefined
  /** How long this process had stood still when the timer was set, and whether the timer ran once more for it. */
  #stalledMs = 0
  #excused = false
  /** Nothing more is sent. */
  #over = false

  constructor(policy: HedgePolicy, service: Service, call: HedgeableCall) {
    this.#policy = policy
    this.#service = service
    this.#call = call
  }

  /** The oldest one under way. */
  get leader(): R | undefined {
    return this.#running[0]
  }

  /** The last that was sent: what is sent next counts on from it. */
  get latest(): Attempt | undefined {
    return this.#latest
  }

  has(rival: R): boolean {
    return this.#running.includes(rival)
  }

  // === attempts come

  /** An attempt is about to be sent, the call's first, a resend or a hedge. */
  join(rival: R): void {
    this.#running.push(rival)
    this.#used.push(rival.attempt.endpoint)
    this.#latest = rival.attempt
    this.#await(this.#policy.delayMs(rival.attempt.number))
  }

  /** Has the next attempt sent after so many milliseconds, if somebody still waits then. */
  #await(ms: number): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (ms < 0 || this.#over || ms >= this.#call.leftMs) return
    this.#excused = false
    this.#stalledMs = this.#stalled()
    this.#timer = this.#call.clock.after(ms, () => this.#next(ms))
  }

  /** Time that this process itself stood still was nobody's, and what came meanwhile is read first: one more wait. */
  #next(ms: number): void {
    const stalledMs = this.#stalled() - this.#stalledMs
    if (stalledMs > 0 && !this.#excused) {
      this.#excused = true
      this.#timer = this.#call.clock.after(Math.max(1, Math.min(ms, stalledMs)), () => this.#next(ms))
      return
    }
    this.#timer = undefined
    if (this.#over || this.#policy.delayMs((this.#latest as Attempt).number) < 0) return
    // The budget comes last, because it takes.
    if (this.#call.canHedge && this.#isElsewhere() && this.#policy.withdraw()) this.#call.hedge(this.#used)
  }

  #stalled(): number {
    return (this.#running[0] as R).attempt.stalledMs(this.#call.clock.now())
  }

  #isElsewhere(): boolean {
    const used = this.#used
    return this.#service.endpoints.some((endpoint) => !endpoint.shut && !used.includes(endpoint))
  }

  // === attempts go

  /**
   * An attempt failed before it was answered.
   *
   * @returns whether that may reach nobody, as others are under way
   */
  lost(rival: R, verdict: Verdict): boolean {
    const stops = asksForNone(verdict)
    if (verdict.resend === 'never' && !stops) return false
    this.#running = this.#running.filter((other) => other !== rival)
    if (verdict.reason === 'try_timeout') this.#learn(rival)
    if (stops) this.#over = true
    this.#await(this.#running.length === 0 ? -1 : verdict.retryAfterMs)
    return this.#running.length > 0
  }

  /** An attempt is answered: the others are cancelled. */
  won(rival: R): void {
    const losers = this.keep(rival)
    if (rival.attempt.status < 500) this.#learn(rival)
    for (const loser of losers) this.#learn(loser)
  }

  /**
   * No other attempt counts any more, and none is sent.
   *
   * @returns those that were cancelled
   */
  keep(rival: R | undefined): readonly R[] {
    const losers = this.#running.filter((other) => other !== rival)
    this.#end(losers, CANCELLED)
    return losers
  }

  /** The call is over. */
  stop(verdict: Verdict): void {
    this.#end(this.#running, verdict === TIMEOUT ? TIMEOUT : CANCELLED)
  }

  #end(rivals: readonly R[], verdict: Verdict): void {
    this.#over = true
    this.#running = []
    this.#timer?.cancel()
    this.#timer = undefined
    for (let i = 0; i < rivals.length; i++) (rivals[i] as R).abandon(verdict)
  }

  /**
   * Of first attempts alone: the time of a hedge is that of a call which was already late. A loser counts with the time after which it was
   * given up: it belongs above the percentile, wherever there. Were losers left out, the percentile would sink with every hedge.
   */
  #learn({ attempt }: R): void {
    if (attempt.number === 1 && attempt.elapsedMs >= 0) this.#policy.observe(attempt.elapsedMs)
  }
}

/** What may otherwise be sent again must not be by the server's own word. */
function asksForNone({ resend, reason }: Verdict): boolean {
  return resend === 'never' && (reason === 'unavailable' || reason === 'overloaded')
}
