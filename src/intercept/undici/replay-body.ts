import type { Readable } from 'node:stream'

/** A stream's beginning is kept up to this many bytes, to send it again (Linkerd's and Envoy's 64 KiB). */
const KEPT_BYTES = 64 * 1024

/** Whether a body can be read any number of times as it is. */
export function isRepeatable(body: unknown): boolean {
  if (body === null || body === undefined || typeof body === 'string') return true
  if (ArrayBuffer.isView(body) || body instanceof ArrayBuffer || body instanceof Blob) return true
  return (body as { [Symbol.toStringTag]?: unknown })[Symbol.toStringTag] === 'FormData'
}

/** Whether a body is one that `ReplayBody` can read. Anything else is undici's to refuse. */
export function isIterable(body: unknown): body is AsyncIterable<unknown> | Iterable<unknown> {
  return typeof body === 'object' && body !== null && (Symbol.asyncIterator in body || Symbol.iterator in body)
}

/** Whether a body is a stream by undici's own measure. */
export function isStream(body: unknown): body is Readable {
  const { pipe, on } = (body ?? {}) as Partial<Readable>
  return typeof pipe === 'function' && typeof on === 'function'
}

/**
 * A streamed request body that can be sent again from its start, as long as no more than 64 KiB of it have been read. Each iteration
 * begins with what was read before and goes on with the source; a later one takes over from those before it, which break off with an
 * error: a body that merely ended early would look whole to its server. Once the source is read to its end, iterations go on side by side.
 */
export class ReplayBody implements AsyncIterable<unknown> {
  readonly #body: AsyncIterable<unknown> | Iterable<unknown>
  #iterator: AsyncIterator<unknown> | Iterator<unknown> | undefined
  /** Read and, as long as the body is replayable, kept; then only what was not yet handed out. */
  #kept: unknown[] = []
  #keptBytes = 0
  #replayable = true
  #ended = false
  /** The source is at its end and all of it is here: it stays until the last iteration is over. */
  #whole = false
  #failure: { readonly error: unknown } | undefined
  #reading: Promise<void> | undefined
  #turn = 0
  #running = 0

  constructor(body: AsyncIterable<unknown> | Iterable<unknown>) {
    this.#body = body
  }

  /** Whether a further iteration would give the whole body. */
  get replayable(): boolean {
    return this.#replayable
  }

  /** Whether several iterations at once would each give the whole body. */
  get whole(): boolean {
    return this.#whole && this.#replayable
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    const turn = ++this.#turn
    let next = 0
    this.#running++
    try {
      while (turn === this.#turn || this.#whole) {
        if (next < this.#kept.length) {
          const chunk = this.#kept[next++]
          if (!this.#replayable && !this.#whole) next -= this.#kept.splice(0, next).length
          yield chunk
        } else if (this.#failure !== undefined) throw this.#failure.error
        else if (this.#ended) return
        // An iteration that was given up may still wait for a chunk: the wait is shared, or the chunk would be lost.
        else await this.#more()
      }
      throw BROKEN_OFF
    } finally {
      if (--this.#running === 0 && !this.#replayable) this.#letGo()
    }
  }

  #more(): Promise<void> {
    this.#reading ??= this.#read()
    return this.#reading
  }

  async #read(): Promise<void> {
    try {
      this.#iterator ??= iteratorOf(this.#body)
      const { done, value } = await this.#iterator.next()
      if (done) this.#end()
      else this.#keep(await value)
    } catch (error) {
      this.#failure = { error }
    }
    this.#reading = undefined
  }

  #end(): void {
    this.#ended = true
    this.#whole = this.#replayable
  }

  #keep(chunk: unknown): void {
    this.#kept.push(chunk)
    this.#keptBytes += bytesOf(chunk)
    if (this.#keptBytes > KEPT_BYTES) this.#replayable = false
  }

  /** The call has its answer: what still travels may end, and then the source is let go of. */
  release(): void {
    this.#replayable = false
    if (this.#running === 0) this.#letGo()
  }

  /** The call has failed: breaks off what still travels, and ends the source if it has not ended. */
  close(): void {
    this.#replayable = false
    this.#whole = false
    this.#turn++
    this.#letGo()
  }

  #letGo(): void {
    this.#kept = []
    if (this.#ended) return
    this.#ended = true
    if (isStream(this.#body)) this.#body.destroy()
    else void this.#return()
  }

  async #return(): Promise<void> {
    try {
      await this.#iterator?.return?.()
    } catch {
      // Whoever wrote the source is told of the call's own end.
    }
  }
}

/** Reaches nobody but undici, which drops the connection of an attempt that was given up. */
const BROKEN_OFF = Object.assign(new Error('body sent elsewhere'), { code: 'UND_ERR_ABORTED' })

function iteratorOf(body: AsyncIterable<unknown> | Iterable<unknown>): AsyncIterator<unknown> | Iterator<unknown> {
  return Symbol.asyncIterator in body ? body[Symbol.asyncIterator]() : body[Symbol.iterator]()
}

/** What undici can't send counts for nothing: it stops at the first. */
function bytesOf(chunk: unknown): number {
  if (typeof chunk === 'string') return Buffer.byteLength(chunk)
  return ArrayBuffer.isView(chunk) ? chunk.byteLength : 0
}
