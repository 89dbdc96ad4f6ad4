import type { Clock, Timer } from './clock.ts'

/** How often the meter looks, in milliseconds. */
const TICK_MS = 20
/** Lateness that is ordinary and not counted, in milliseconds. */
const GRACE_MS = 10
/** The meter goes to sleep after this time without a question, in milliseconds: an idle process is not woken. */
const SLEEP_AFTER_MS = 10_000

/**
 * How long this process itself stood still (garbage collection, long synchronous work), so that an endpoint is not blamed for it.
 * One timer a mesh, which only runs while somebody asks.
 */
export class StallMeter {
  readonly #clock: Clock
  #total = 0
  #dueAt = 0
  #askedAt = Number.NEGATIVE_INFINITY
  #timer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Total stalled time up to `now`, in milliseconds; only differences mean something. */
  total(now: number): number {
    this.#askedAt = now
    if (this.#timer === undefined) this.#start(now)
    const late = now - this.#dueAt - GRACE_MS
    return late > 0 ? this.#total + late : this.#total
  }

  /** Stops the timer; the next question starts it again. */
  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #start(now: number): void {
    this.#dueAt = now + TICK_MS
    this.#timer = this.#clock.after(TICK_MS, this.#tick)
  }

  readonly #tick = (): void => {
    const now = this.#clock.now()
    const late = now - this.#dueAt - GRACE_MS
    if (late > 0) this.#total += late
    if (now - this.#askedAt > SLEEP_AFTER_MS) {
      this.#timer = undefined
      return
    }
    this.#start(now)
  }
}
