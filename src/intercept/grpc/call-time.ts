import type { Clock, Timer } from '../../core/clock.ts'
import { asDeadline, isOver, leftUntil } from './deadline.ts'

/** The longest a timer can run, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647

/**
 * How much time a call has. While an attempt is under way, grpc-js itself watches the deadline; in between it is watched here, so that a
 * call that goes well costs no timer.
 */
export class CallTime {
  /** In milliseconds since 1970; Infinity for none. Bounds every attempt, and is told to the server by `grpc-timeout`. */
  deadline: number = Number.POSITIVE_INFINITY
  /** The deadline is the application's own, not one of the route's or of the request that is being served. */
  isOwn = true
  readonly #clock: Clock
  readonly #startedAt: number
  #expiry: Timer | undefined
  #pause: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAt = clock.now()
  }

  /**
   * @param own the caller's, in milliseconds since 1970
   * @param inherited that of the request being served, on the mesh's clock
   * @param timeoutMs the route's; 0 for none
   */
  start(own: number, inherited: number, timeoutMs: number): void {
    const granted = timeoutMs > 0 ? this.#startedAt + timeoutMs : Number.POSITIVE_INFINITY
    const ours = Math.min(inherited, granted)
    this.deadline = own
    if (ours === Number.POSITIVE_INFINITY) return
    const time = asDeadline(this.#clock, ours)
    if (time >= own) return
    this.deadline = time
    this.isOwn = false
  }

  get over(): boolean {
    return isOver(this.deadline)
  }

  /** Infinity without a deadline. */
  get leftMs(): number {
    return leftUntil(this.deadline)
  }

  /** @param now monotonic milliseconds, when the caller has just read the clock */
  elapsedMs(now: number = this.#clock.now()): number {
    return now - this.#startedAt
  }

  /** No attempt is under way: runs `expired` at the deadline and, if it is given, `next` after `ms`; at most one of them. */
  wait(expired: () => void, ms = 0, next?: () => void): void {
    this.goOn()
    const { leftMs } = this
    if (leftMs <= MAX_TIMER_MS) this.#expiry = this.#clock.hold(Math.max(0, leftMs), expired)
    if (next === undefined) return
    this.#pause = this.#clock.hold(ms, () => {
      this.goOn()
      next()
    })
  }

  /** The wait is over. */
  goOn(): void {
    this.#expiry?.cancel()
    this.#expiry = undefined
    this.#pause?.cancel()
    this.#pause = undefined
  }
}
