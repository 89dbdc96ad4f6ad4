import type { Clock, Runtime, Timer } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'

/** A clock that stands until a test turns it. Timers run in the order of their time, at their time. */
export class VirtualClock implements Clock {
  /** What the calendar shows at the clock's 0, in milliseconds since 1970; a test sets it to make the calendar jump. */
  epoch = Date.UTC(2030, 0, 1)
  #now = 0
  #timers: { at: number; order: number; fn: () => void }[] = []
  #order = 0

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.epoch + this.#now
  }

  after(ms: number, fn: () => void): Timer {
    const timer = { at: this.#now + Math.max(0, ms), order: this.#order++, fn }
    this.#timers.push(timer)
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((t) => t !== timer)
      },
    }
  }

  hold(ms: number, fn: () => void): Timer {
    return this.after(ms, fn)
  }

  /** How many timers wait: a test of what was stopped asks for 0. */
  get pending(): number {
    return this.#timers.length
  }

  /** Lets `ms` milliseconds pass and runs what falls due, synchronously. */
  advance(ms: number): void {
    const until = this.#now + ms
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (next === undefined) break
      this.#now = Math.max(this.#now, next.at)
      this.#timers = this.#timers.filter((t) => t !== next)
      next.fn()
    }
    this.#now = until
  }

  /** As `advance`, and lets promises settle before, between and after. */
  async pass(ms: number): Promise<void> {
    const until = this.#now + ms
    await settle()
    for (;;) {
      const next = this.#timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at || a.order - b.order)[0]
      if (next === undefined) break
      this.#now = Math.max(this.#now, next.at)
      this.#timers = this.#timers.filter((t) => t !== next)
      next.fn()
      await settle()
    }
    this.#now = until
    await settle()
  }

  /** The process stands still: time passes and no timer runs until the next advance. */
  stall(ms: number): void {
    this.#now += ms
  }
}

/** Lets every promise that can settle do so, without waiting for time. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** A small generator of chance (mulberry32): the same seed, the same run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** A runtime of injected time and chance. */
export function virtualRuntime(seed = 1): Runtime & { readonly clock: VirtualClock } {
  const clock = new VirtualClock()
  return { clock, random: seeded(seed), retryLoop: retryLoop(clock) }
}
