import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { connect as connectSocket, type Socket } from 'node:net'
import type { Clock, Timer } from '../../core/clock.ts'
import { GRPC_CODES } from '../../core/grpc-codes.ts'
import { FramingError, GrpcMessages } from './grpc-messages.ts'
import type { WorkloadEndpoint } from './workload-endpoint.ts'

/** The longest message that is taken: some thousand certificates, and what gRPC takes by default. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
/**
 * How long the first message may take, connecting included, and the rest of one that has begun, in milliseconds. A server is to send the
 * first at once (SPIFFE Workload API, 4.3).
 */
const MESSAGE_MS = 10_000
/** How often a quiet connection is asked for a sign of life, in milliseconds: gRPC servers hang up on who asks more than every 5 minutes. */
const PING_MS = 310_000
/** How long the sign of life may take, in milliseconds. */
const PONG_MS = 20_000
/** How often the kernel asks the same of the other machine, in milliseconds; nothing on the way to a Unix socket can get lost. */
const TCP_KEEPALIVE_MS = 30_000
/** How much of a server's own words a message quotes. */
const MAX_QUOTED = 200

/** A call that a server answers with a stream of messages, for as long as both live. */
export interface ServerStreamCall {
  readonly endpoint: WorkloadEndpoint
  /** `/Service/Method`. The request is a message without fields. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** Gets each message; what it throws ends the stream. */
  readonly onMessage: (message: Buffer) => void
}

/** How a stream ended that was not ended from here. The message reads after the endpoint's name: `answered UNAVAILABLE: starting`. */
export class StreamEnded extends Error {
  /** The gRPC status that the server gave; undefined when it gave none. */
  readonly status: number | undefined

  constructor(message: string, status?: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.status = status
  }
}

/**
 * One gRPC call over a connection of its own, in plaintext. Written on HTTP/2 itself, since a whole gRPC client would be a dependency of
 * every application that has none. Holds no process, no more than one message, and notices a server that went away without a word.
 *
 * @returns a promise that only rejects: with StreamEnded, with what `onMessage` threw, or with the signal's reason
 */
export function serverStream(clock: Clock, call: ServerStreamCall, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason)
    else new ServerStream(clock, call, signal, reject)
  })
}

class ServerStream {
  readonly #clock: Clock
  readonly #call: ServerStreamCall
  readonly #signal: AbortSignal
  readonly #reject: (reason: unknown) => void
  readonly #socket: Socket
  readonly #session: ClientHttp2Session
  readonly #messages = new GrpcMessages(MAX_MESSAGE_BYTES)
  readonly #abort = () => this.#end(this.#signal.reason)
  /** Runs out when what is waited for does not come. */
  #timer: Timer
  #connected = false
  /** Whether a message is waited for that is to come at once: the first, or one that has begun. */
  #due = true
  #status: StreamEnded | undefined
  #ended = false

  constructor(clock: Clock, call: ServerStreamCall, signal: AbortSignal, reject: (reason: unknown) => void) {
    this.#clock = clock
    this.#call = call
    this.#signal = signal
    this.#reject = reject
    signal.addEventListener('abort', this.#abort, { once: true })
    this.#timer = this.#within(MESSAGE_MS, 'no answer')
    this.#socket = this.#connect()
    this.#session = connect('http://localhost', { createConnection: () => this.#socket, settings: { enablePush: false } })
    this.#session.on('error', (cause) => this.#lost(cause))
    this.#session.on('close', () => this.#end(this.#status ?? new StreamEnded('closed the connection')))
    this.#listen(this.#request())
  }

  #connect(): Socket {
    const to = this.#call.endpoint.connect
    const socket = connectSocket(to).unref()
    socket.on('connect', () => {
      this.#connected = true
    })
    // Before the session listens, so that the system's own error is told and not what follows from it.
    socket.on('error', (cause) => this.#lost(cause))
    return 'port' in to ? socket.setKeepAlive(true, TCP_KEEPALIVE_MS) : socket
  }

  #request(): ClientHttp2Stream {
    const stream = this.#session.request({
      ...this.#call.headers,
      ':method': 'POST',
      ':path': this.#call.path,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'inmesh',
    })
    // A message without fields: not compressed, 0 bytes.
    stream.end(Buffer.alloc(5))
    return stream
  }

  #listen(stream: ClientHttp2Stream): void {
    stream.on('response', (head) => this.#begun(head))
    stream.on('data', (piece: Buffer) => this.#take(piece))
    stream.on('trailers', (trailers) => {
      this.#status = endOf(trailers)
    })
    stream.on('error', (cause) => this.#lost(cause))
    const over = () => {
      const inside = this.#messages.inside ? ' in the middle of a message' : ''
      this.#end(this.#status ?? new StreamEnded(`broke off${inside} without a status`))
    }
    stream.on('end', over)
    stream.on('close', over)
  }

  /** The head of the answer, which is also its end when there is nothing to say but a status. */
  #begun(head: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    if (head['grpc-status'] !== undefined) return this.#end(endOf(head))
    const type = head['content-type'] ?? 'no content type'
    if (head[':status'] === 200 && type.startsWith('application/grpc')) return
    this.#end(new StreamEnded(`is no gRPC server: HTTP status ${head[':status']}, ${quoted(type)}`))
  }

  #take(piece: Buffer): void {
    if (this.#ended) return
    try {
      this.#messages.push(piece, (message) => {
        this.#due = false
        this.#call.onMessage(message)
      })
    } catch (error) {
      return this.#end(error instanceof FramingError ? new StreamEnded(error.message) : error)
    }
    // The call may have been given up by who got the message.
    if (this.#ended) return
    if (!this.#messages.inside) return this.#rest()
    if (this.#due) return
    this.#due = true
    this.#timer.cancel()
    this.#timer = this.#within(MESSAGE_MS, 'no more than half a message')
  }

  /** Quiet from now on; asked for a sign of life when it has been so for long. */
  #rest(): void {
    if (this.#due) return
    this.#timer.cancel()
    this.#timer = this.#clock.after(PING_MS, () => {
      this.#timer = this.#within(PONG_MS, 'no sign of life')
      this.#session.ping((error) => {
        if (error === null && !this.#ended) this.#rest()
      })
    })
  }

  #within(ms: number, missing: string): Timer {
    return this.#clock.after(ms, () => this.#end(new StreamEnded(`${missing} in ${ms} ms`)))
  }

  #lost(cause: NodeJS.ErrnoException): void {
    const code = cause.code ?? cause.message
    this.#end(
      new StreamEnded(this.#connected ? `the connection broke (${code})` : `can't be reached (${code})`, undefined, cause),
    )
  }

  #end(reason: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#timer.cancel()
    this.#signal.removeEventListener('abort', this.#abort)
    this.#session.destroy()
    this.#socket.destroy()
    this.#reject(reason)
  }
}

function endOf(headers: IncomingHttpHeaders): StreamEnded {
  const status = Number(headers['grpc-status'] ?? Number.NaN)
  const name = GRPC_CODES[status]
  if (name === undefined) return new StreamEnded(`answered with an unknown status ${quoted(String(headers['grpc-status']))}`)
  if (status === 0) return new StreamEnded('ended the stream', status)
  const text = quoted(percentDecoded(String(headers['grpc-message'] ?? '')))
  return new StreamEnded(`answered ${name}${text === '' ? '' : `: ${text}`}`, status)
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A server's own words, on one line and short. */
function quoted(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return line.length > MAX_QUOTED ? `${line.slice(0, MAX_QUOTED - 3)}...` : line
}
