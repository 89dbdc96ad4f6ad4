import { pipeline, Readable, Transform, type TransformCallback } from 'node:stream'
import zlib from 'node:zlib'
import type { ByteSource, ResponseBody } from './response-body.ts'

/** More than any server has a reason for; each costs memory. Node's fetch draws the line here as well. */
const MAX_ENCODINGS = 5

/**
 * The decoders that undo a `content-encoding`, in order of use.
 *
 * @returns none when a coding is unknown: the bytes are then handed over as they are
 * @throws Error when there are more than five
 */
export function decodersFor(encoding: string): Transform[] {
  const codings = encoding.toLowerCase().split(',')
  if (codings.length > MAX_ENCODINGS) {
    throw new Error(`too many content-encodings in response: ${codings.length}, maximum allowed is ${MAX_ENCODINGS}`)
  }
  const decoders: Transform[] = []
  for (const coding of codings.reverse()) {
    const decoder = decoderFor(coding.trim())
    if (decoder === undefined) return []
    decoders.push(decoder)
  }
  return decoders
}

/** Stands between the wire and a body: bytes go in as sent and come out decoded, with backpressure through and through. */
export class ResponseDecoding implements ByteSource {
  readonly #wire: ByteSource
  readonly #input: Readable
  readonly #output: Transform
  #started = false
  #stopped = false

  /** @param broken learns of bytes that can't be decoded */
  constructor(wire: ByteSource, decoders: readonly Transform[], broken: (error: Error) => void) {
    this.#wire = wire
    this.#input = new Readable({ read: () => wire.resume() })
    this.#output = decoders.at(-1) as Transform
    const onEnd = (error?: Error | null) => {
      if (error && !this.#stopped) broken(error)
    }
    // A pipeline is over when the last decoder has taken everything; what it finds wrong afterwards it tells nobody but its own listeners.
    pipeline([this.#input, ...decoders], onEnd)
    this.#output.on('error', onEnd)
  }

  /** Where the decoded bytes go. */
  feed(body: ResponseBody): void {
    this.#output.on('data', (chunk) => body.push(chunk))
    this.#output.on('end', () => body.end())
  }

  push(chunk: Uint8Array): void {
    this.#started = true
    if (!this.#input.push(chunk)) this.#wire.pause()
  }

  /** @returns false when nothing was sent: an empty body needs no decoding, and decoders take it for a broken one */
  end(): boolean {
    if (!this.#started) {
      this.stop()
      return false
    }
    this.#input.push(null)
    return true
  }

  /** The wire has failed, or nobody listens any more: what comes out does not matter. */
  stop(): void {
    this.#stopped = true
    this.#input.destroy()
  }

  pause(): void {
    this.#output.pause()
  }

  resume(): void {
    this.#output.resume()
  }

  abort(reason: Error): void {
    this.#wire.abort(reason)
    this.stop()
  }
}

/** Lenient about how a stream ends, as browsers are: some servers leave the trailer out. */
const ZLIB = { flush: zlib.constants.Z_SYNC_FLUSH, finishFlush: zlib.constants.Z_SYNC_FLUSH }
const BROTLI = { flush: zlib.constants.BROTLI_OPERATION_FLUSH, finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH }
/** The window is bounded to 8 MiB (RFC 9659, section 3). */
const ZSTD = { params: { [zlib.constants.ZSTD_d_windowLogMax]: 23 } }

function decoderFor(coding: string): Transform | undefined {
  switch (coding) {
    case 'gzip':
    case 'x-gzip':
      return zlib.createGunzip(ZLIB)
    case 'deflate':
      return new Inflate()
    case 'br':
      return zlib.createBrotliDecompress(BROTLI)
    case 'zstd':
      return zlib.createZstdDecompress(ZSTD)
    default:
      return undefined
  }
}

/** `deflate` means zlib's format, but some send it bare: the first byte tells (RFC 1950, section 2.2). */
class Inflate extends Transform {
  #inner: zlib.Inflate | zlib.InflateRaw | undefined

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    if (chunk.length === 0) {
      callback()
      return
    }
    this.#inner ??= this.#open(chunk)
    this.#inner.write(chunk, callback)
  }

  override _flush(callback: TransformCallback): void {
    if (this.#inner === undefined) {
      callback()
      return
    }
    this.#inner.on('end', callback)
    this.#inner.end()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#inner?.destroy()
    callback(error)
  }

  #open(chunk: Buffer): zlib.Inflate | zlib.InflateRaw {
    const inner = ((chunk[0] ?? 0) & 0x0f) === 0x08 ? zlib.createInflate(ZLIB) : zlib.createInflateRaw(ZLIB)
    inner.on('data', (piece) => this.push(piece))
    inner.on('error', (error) => this.destroy(error))
    return inner
  }
}
