import type { Runtime, Timer } from './clock.ts'

/** The first wait after a failure, in milliseconds; it doubles with each further one. */
const FIRST_RETRY_MS = 250

/** What is asked again and again, and by whom its failures are heard. */
export interface Question {
  /** Asks once and reports what it learns; answers how long to rest, in milliseconds. */
  ask(signal: AbortSignal): Promise<number>
  /** One asking failed; another follows by itself. */
  failed(error: unknown): void
  /** The longest wait after a failure, in milliseconds. */
  readonly maxRetryMs: number
}

/**
 * Asks, rests as long as the answer says, and asks again; after a failure sooner, with exponential backoff and jitter. Never
 * holds the process: the rests are taken inside the retry loop's steps, whose own waits would.
 */
export class Polling {
  readonly #runtime: Runtime
  readonly #question: Question
  readonly #stopping = new AbortController()
  #timer: Timer | undefined
  #endRest: (() => void) | undefined
  #woken = false

  constructor(runtime: Runtime, question: Question) {
    this.#runtime = runtime
    this.#question = question
  }

  start(): void {
    void this.#run()
  }

  /** Something may have changed: ends the rest, or has one more asking follow the one under way. */
  wake(): void {
    this.#woken = true
    this.#endRest?.()
  }

  /** Ends it, also in the middle of a rest; idempotent. */
  stop(): void {
    this.#stopping.abort()
    this.#timer?.cancel()
    this.#endRest?.()
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    try {
      while (!signal.aborted) {
        const restMs = await this.#runtime.retryLoop(
          (number) => this.#step(number),
          () => 0,
          signal,
        )
        await this.#rest(restMs)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  async #step(number: number): Promise<number> {
    const { signal } = this.#stopping
    if (number > 1) await this.#rest(this.#backoffMs(number - 1))
    signal.throwIfAborted()
    this.#woken = false
    try {
      return await this.#question.ask(signal)
    } catch (error) {
      if (!signal.aborted) this.#question.failed(error)
      throw error
    }
  }

  #backoffMs(failures: number): number {
    const full = Math.min(this.#question.maxRetryMs, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 30))
    return full * (0.5 + this.#runtime.random() / 2)
  }

  #rest(ms: number): Promise<void> {
    if (this.#woken || this.#stopping.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      this.#endRest = () => {
        this.#timer?.cancel()
        this.#timer = undefined
        this.#endRest = undefined
        resolve()
      }
      this.#timer = this.#runtime.clock.after(ms, this.#endRest)
    })
  }
}
