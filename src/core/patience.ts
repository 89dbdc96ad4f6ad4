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
  return marked(new DOMException(CALLER_LEFT, 'AbortError'))
}

/** The reason of an `AbortSignal` whose deadline has passed, `ms` after the request arrived: a `TimeoutError`. */
export function deadlinePassed(ms: number): Error {
  return marked(new DOMException(`the caller's deadline of ${Math.round(ms)} ms has passed`, 'TimeoutError'))
}

/** Whether an error comes of one of these: it, or what caused it, or what a call of gRPC was ended with. */
export function isForWantOfCaller(error: unknown): boolean {
  let cause = error as Partial<Error & Marked & { readonly details: unknown }> | null | undefined
  for (let depth = 0; depth < MAX_CAUSES && typeof cause === 'object' && cause !== null; depth++) {
    if (cause[NOBODY_WAITS] === true || cause.details === CALLER_LEFT) return true
    cause = cause.cause as typeof cause
  }
  return false
}

const CALLER_LEFT = 'the caller has left'
/** More than libraries wrap around each other; a chain could also be a circle. */
const MAX_CAUSES = 10
const NOBODY_WAITS = Symbol('inmesh.nobodyWaits')

interface Marked {
  readonly [NOBODY_WAITS]: true
}

function marked(error: Error): Error {
  return Object.defineProperty(error, NOBODY_WAITS, { value: true })
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
