import type { Runtime } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'

/** A failed attempt that is to be followed by another. */
class Again {
  readonly waitMs: number
  readonly previous: Endpoint

  constructor(waitMs: number, previous: Endpoint) {
    this.waitMs = waitMs
    this.previous = previous
  }
}

/**
 * The attempts of a call after its first, as a loop that p-retry runs. It begins with the failure already at hand, so a call that
 * succeeds at once never comes here.
 */
export class Resending {
  readonly #send: (previous: Endpoint) => void
  readonly #stop = new AbortController()
  #again: Again
  #step: { resolve(): void; reject(again: Again): void } | undefined

  /**
   * @param waitMs before the second attempt
   * @param send makes one attempt, whose outcome is told by `again` or `settled`
   */
  constructor(waitMs: number, previous: Endpoint, send: (previous: Endpoint) => void) {
    this.#again = new Again(waitMs, previous)
    this.#send = send
  }

  /** Runs until the call is settled; rejects only with what `send` throws. */
  async run(runtime: Runtime): Promise<void> {
    try {
      await runtime.retryLoop(
        (number) => (number === 1 ? Promise.reject(this.#again) : this.#attempt()),
        (failure) => (failure instanceof Again ? failure.waitMs : -1),
        this.#stop.signal,
      )
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error
    }
  }

  #attempt(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#step = { resolve, reject }
      this.#send(this.#again.previous)
    })
  }

  /** The attempt failed and another one was granted. */
  again(waitMs: number, previous: Endpoint): void {
    this.#again = new Again(waitMs, previous)
    const step = this.#step
    this.#step = undefined
    step?.reject(this.#again)
  }

  /** The application has its answer or its error: the loop ends, also while it waits. */
  settled(): void {
    const step = this.#step
    this.#step = undefined
    if (step === undefined) this.#stop.abort()
    else step.resolve()
  }
}
