/**
 * Time as the mesh sees it: monotonic milliseconds and timers, so that every strategy can be tested on a clock
 * that a test turns by hand. This is the only file that reads the system's clock or chance.
 */
export interface Clock {
  /** Monotonic milliseconds from an arbitrary start; fractions allowed. About 70 ns a call. */
  now(): number
  /** Milliseconds since 1970 by the machine's calendar, for what others have dated (certificates). It may jump: no duration is measured by it. */
  wall(): number
  /** Runs `fn` once, `ms` milliseconds from now. Never holds the process: an idle mesh must not keep it alive. */
  after(ms: number, fn: () => void): Timer
  /** As `after`, but holds the process until it has run: somebody is waiting for a call. */
  hold(ms: number, fn: () => void): Timer
}

/** A timer that has been started. */
export interface Timer {
  /** Prevents the timer from running. Harmless when it already has. */
  cancel(): void
}

/**
 * Repeats a step until it succeeds or is given up: the loop of resends after a first failure, and of every reconnect.
 *
 * @param step is called with 1, 2, 3 ... and its result ends the loop
 * @param delayMs says how long to wait after a failure, in milliseconds; negative gives up and rejects with the failure
 * @param signal ends the loop at once, also while it waits; the promise rejects with the signal's reason
 */
export type RetryLoop = <T>(
  step: (number: number) => Promise<T>,
  delayMs: (failure: unknown, number: number) => number,
  signal?: AbortSignal,
) => Promise<T>

/** All that a strategy gets from outside: time, chance and persistence are injected. */
export interface Runtime {
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly retryLoop: RetryLoop
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, fn) {
    const timer = setTimeout(fn, ms).unref()
    return { cancel: () => clearTimeout(timer) }
  },
  hold(ms, fn) {
    const timer = setTimeout(fn, ms)
    return { cancel: () => clearTimeout(timer) }
  },
}

/** The machine's own chance. */
export const systemRandom: () => number = Math.random
