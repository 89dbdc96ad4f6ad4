import { Readable } from 'node:stream'
import { type ReadableByteStreamController, ReadableStream } from 'node:stream/web'

/** Where a body's bytes come from: a dispatcher's controller, or a decoder in front of it. */
export interface ByteSource {
  pause(): void
  resume(): void
  abort(reason: Error): void
}

/** Above this many bytes that nobody has asked for, the source is paused: what Node's fetch takes in. */
const HIGH_WATER_BYTES = 65_536
const ABANDONED = 'Response object has been garbage collected'

/**
 * The bytes of one response, as they come. Whoever asks for them whole gets them without a stream; a `ReadableStream` is made
 * when somebody asks for one (5 us), and then pulls.
 */
export class ResponseBody {
  readonly #source: ByteSource
  readonly #signal: AbortSignal | undefined
  #chunks: Uint8Array[] = []
  #size = 0
  #state: 'open' | 'ended' | 'failed' = 'open'
  #error: unknown
  #paused = false
  #collector: Collector | undefined
  #taken = false
  #stream: ReadableStream<Uint8Array> | undefined
  #controller: ReadableByteStreamController | undefined
  #handedOut = false
  #starving = false

  /** @param signal its abort takes away what has not been read, even if all has arrived */
  constructor(source: ByteSource, signal: AbortSignal | undefined) {
    this.#source = source
    this.#signal = signal
  }

  // ---- from the wire

  push(chunk: Uint8Array): void {
    if (this.#state !== 'open' || chunk.length === 0) return
    if (this.#starving) {
      this.#starving = false
      this.#controller?.enqueue(new Uint8Array(chunk))
      return
    }
    this.#chunks.push(chunk)
    this.#size += chunk.length
    if (this.#size < HIGH_WATER_BYTES || this.#collector !== undefined) return
    this.#paused = true
    this.#source.pause()
  }

  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    if (this.#collector !== undefined) this.#deliver(this.#collector)
    if (this.#starving) this.#closeStream()
  }

  /** The caller's signal is aborted. A reason that is nothing is told as an AbortError, as Node's fetch does for bodies. */
  abort(reason: unknown): void {
    this.fail(reason || new DOMException('The operation was aborted.', 'AbortError'))
  }

  /** What has arrived and not been read is lost. */
  fail(error: unknown): void {
    if (this.#state === 'failed') return
    this.#state = 'failed'
    this.#error = error
    this.#chunks = []
    this.#collector?.reject(error)
    this.#collector = undefined
    this.#controller?.error(error)
    this.#controller = undefined
  }

  // ---- to the reader

  /** No byte will come any more, or somebody waits for those that do: nothing is lost if the response is forgotten. */
  get settled(): boolean {
    return this.#taken || this.#state !== 'open'
  }

  /** Something was read, or somebody has read it whole. */
  get used(): boolean {
    return this.#taken || (this.#stream !== undefined && isDisturbed(this.#stream))
  }

  /** Nobody else may read it: used, or a reader holds it. */
  get unusable(): boolean {
    return this.#taken || (this.#stream !== undefined && (this.#stream.locked || isDisturbed(this.#stream)))
  }

  /** All the bytes, once they are here. Only while it is not `unusable`. */
  collect(collector: Collector): void {
    if (this.#stream !== undefined) {
      readAll(this.#stream).then((bytes) => collector.resolve(bytes), collector.reject)
      return
    }
    this.#taken = true
    this.#checkSignal()
    if (this.#state === 'failed') collector.reject(this.#error)
    else if (this.#state === 'ended') this.#deliver(collector)
    else {
      this.#collector = collector
      this.#resume()
    }
  }

  /** The one stream of it. From now on it is its holder's to read or to cancel. */
  stream(): ReadableStream<Uint8Array> {
    this.#handedOut = true
    this.#stream ??= this.#taken ? spentStream() : this.#openStream()
    return this.#stream
  }

  /** Splits it: this keeps one half, the other is returned. Only while it is not `unusable`. */
  tee(): ResponseBody {
    const twin = new ResponseBody(this.#source, this.#signal)
    if (this.#state === 'ended' && this.#stream === undefined) {
      twin.#chunks = [...this.#chunks]
      twin.#size = this.#size
      twin.#state = 'ended'
      return twin
    }
    const [mine, other] = (this.#stream ?? this.#openStream()).tee()
    this.#stream = mine
    this.#handedOut = false
    twin.#stream = other
    return twin
  }

  /** Nobody is left to read it: the connection is not to wait. */
  abandon(): void {
    if (this.#taken || this.#handedOut) return
    if (this.#stream !== undefined) this.#stream.cancel(new DOMException(ABANDONED, 'AbortError')).catch(() => {})
    else if (this.#state === 'open') this.#source.abort(new DOMException(ABANDONED, 'AbortError'))
  }

  // ---- inside

  #deliver(collector: Collector): void {
    const [first] = this.#chunks
    const bytes = this.#chunks.length === 1 && first !== undefined ? first : Buffer.concat(this.#chunks, this.#size)
    this.#chunks = []
    this.#collector = undefined
    collector.resolve(bytes)
  }

  #openStream(): ReadableStream<Uint8Array> {
    return new ReadableStream({
      type: 'bytes',
      start: (controller: ReadableByteStreamController) => {
        this.#controller = controller
        if (this.#state === 'failed') controller.error(this.#error)
      },
      pull: () => this.#pull(),
      cancel: (reason) => this.#cancel(reason),
    })
  }

  #pull(): void {
    this.#checkSignal()
    if (this.#state === 'failed') return
    const chunk = this.#chunks.shift()
    if (chunk !== undefined) {
      this.#size -= chunk.length
      // A byte stream takes the memory away from whoever gave it, and a chunk shares it with its neighbours.
      this.#controller?.enqueue(new Uint8Array(chunk))
      if (this.#size < HIGH_WATER_BYTES) this.#resume()
    } else if (this.#state === 'open') {
      this.#starving = true
      this.#resume()
    }
    if (this.#state === 'ended' && this.#chunks.length === 0) this.#closeStream()
  }

  #closeStream(): void {
    const controller = this.#controller
    this.#controller = undefined
    controller?.close()
    // A reader that brought its own buffer waits for it until it is given back empty.
    controller?.byobRequest?.respond(0)
  }

  #cancel(reason: unknown): void {
    this.#controller = undefined
    this.#chunks = []
    this.#starving = false
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#source.abort(asError(reason))
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#source.resume()
  }

  #checkSignal(): void {
    if (this.#signal?.aborted === true) this.abort(this.#signal.reason)
  }
}

/** Who waits for a whole body. */
export interface Collector {
  resolve(bytes: Uint8Array): void
  reject(error: unknown): void
}

function isDisturbed(stream: ReadableStream): boolean {
  return Readable.isDisturbed(stream as unknown as NodeJS.ReadableStream)
}

/** What a body that was read without a stream shows to those who look afterwards: locked, and at its end. */
function spentStream(): ReadableStream<Uint8Array> {
  const stream = new ReadableStream({ type: 'bytes' })
  stream.getReader().cancel()
  return stream
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const reader = stream.getReader()
  const chunks: Uint8Array[] = []
  for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value)
  return Buffer.concat(chunks)
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new DOMException('The operation was aborted.', 'AbortError')
}
