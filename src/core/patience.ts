import type { Clock, Timer } from './clock.ts'

/**
 * Until when somebody waits for an answer: ends once, when the caller leaves or its deadline passes, and tells those who want to know. Made only if
 * somebody does, since most requests are watched by nobody.
 */
export class Patience {
  /** Why nobody waits any more. */
  over: Error | undefined = undefined
  #controller: AbortController | undefined = undefined
  #listeners: Set<(reason: Error) => void> | undefined = undefined
  #timer: Timer | undefined = undefined

  /** @param deadline in monotonic milliseconds; Infinity for none, and then no timer is started */
  constructor(clock: Clock, startedAt: number, deadline: number) {
    if (deadline === Number.POSITIVE_INFINITY) return
    const left = deadline - clock.now()
    const passed = () => this.end(deadlinePassed(deadline - startedAt))
    if (left <= 0) passed()
    else this.#timer = clock.after(Math.ceil(left), passed)
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.over !== undefined) this.#controller.abort(this.over)
    }
    return this.#controller.signal
  }

  /** Runs `fn` once it is over; at once when it is. Returns a function that takes it back. */
  onEnd(fn: (reason: Error) => void): () => void {
    if (this.over !== undefined) {
      fn(this.over)
      return nothing
    }
    this.#listeners ??= new Set()
    const listeners = this.#listeners.add(fn)
    return () => void listeners.delete(fn)
  }

  /** Nobody waits any more. Only the first reason counts. */
  end(reason: Error): void {
    if (this.over !== undefined) return
    this.over = reason
    const listeners = this.#listeners
    this.forget()
    this.#controller?.abort(reason)
    if (listeners !== undefined) for (const listener of listeners) tell(listener, reason)
  }

  /** The caller has what it waited for: stops the timer, and nobody is told any more. */
  forget(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#listeners = undefined
  }
}

/** The reason of an `AbortSignal` whose caller has left: an `AbortError`. */
export function callerLeft(): Error {
  return new DOMException('the caller has left', 'AbortError')
}

/** The reason of an `AbortSignal` whose deadline has passed, `ms` after the request arrived: a `TimeoutError`. */
export function deadlinePassed(ms: number): Error {
  return new DOMException(`the caller's deadline of ${Math.round(ms)} ms has passed`, 'TimeoutError')
}

function nothing(): void {}

/** A listener that throws must not keep the others in the dark. */
function tell(listener: (reason: Error) => void, reason: Error): void {
  try {
    listener(reason)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
