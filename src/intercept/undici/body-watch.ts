import type { Readable } from 'node:stream'

/**
 * Listens to a streamed request body for the whole of its call. undici listens only while it has the request, and a stream that
 * fails when nobody does (no endpoint yet, between two attempts) ends the process.
 */
export class BodyWatch {
  readonly #stream: Readable
  readonly #failed: (error: Error) => void

  constructor(stream: Readable, failed: (error: Error) => void) {
    this.#stream = stream
    this.#failed = failed
    stream.on('error', failed)
  }

  stop(): void {
    this.#stream.off('error', this.#failed)
  }
}
