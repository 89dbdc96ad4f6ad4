import type { Clock, Timer } from './clock.ts'

/** No call waits longer than this for a service to get its first endpoint, in milliseconds (Linkerd's fail-fast). */
const FAIL_FAST_MS = 3_000
/** Calls that may wait at once (Linkerd's queue); one more is refused, so that an outage costs bounded memory. */
const MAX_WAITING = 10_000

/** Is told once: true when an attempt is worth making, false when it is time to give up. */
type Done = (ready: boolean) => void

/**
 * Where calls wait while a service has no endpoint: for 3 s from the moment it had none, not from the call. Whoever comes later than
 * that is refused at once (fail fast). One timer a service, and only while somebody waits.
 */
export class WaitingRoom {
  readonly #clock: Clock
  #waiting = new Set<Done>()
  /** Infinity while the service has an endpoint, -Infinity once it is closed. */
  #emptySince: number
  #giveUp: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
    this.#emptySince = clock.now()
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.size
  }

  /** @returns a function that leaves, or undefined when nobody may wait: `done` was not and will not be called */
  enter(done: Done): (() => void) | undefined {
    const left = this.#emptySince + FAIL_FAST_MS - this.#clock.now()
    const queue = this.#waiting
    if (left <= 0 || left === Number.POSITIVE_INFINITY || queue.size >= MAX_WAITING) return undefined
    queue.add(done)
    this.#giveUp ??= this.#clock.hold(left, () => this.#tellAll(false))
    return () => {
      queue.delete(done)
      if (queue === this.#waiting && queue.size === 0) this.#cancel()
    }
  }

  /** The service has an endpoint. */
  filled(): void {
    this.#emptySince = Number.POSITIVE_INFINITY
    if (this.#waiting.size > 0) this.#tellAll(true)
  }

  /** The service has no endpoint. */
  emptied(now: number): void {
    if (this.#emptySince === Number.POSITIVE_INFINITY) this.#emptySince = now
  }

  /** The service is closed: everybody gives up, and nobody may enter again. */
  close(): void {
    this.#emptySince = Number.NEGATIVE_INFINITY
    this.#tellAll(false)
  }

  /** Who leaves meanwhile is not told any more; who enters meanwhile waits for the next time. */
  #tellAll(ready: boolean): void {
    this.#cancel()
    const queue = this.#waiting
    this.#waiting = new Set()
    for (const done of queue) {
      try {
        done(ready)
      } catch (error) {
        // an application's own handler; the others must not wait for ever because of it
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  #cancel(): void {
    this.#giveUp?.cancel()
    this.#giveUp = undefined
  }
}
