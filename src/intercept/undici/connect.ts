import type { IncomingHttpHeaders } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { MeshError } from '../../core/errors.ts'
import type { MeshRequest } from './request.ts'

/** A request as Connect's transports make it (`UniversalClientRequest` of `@connectrpc/connect/protocol`). */
export interface ConnectRequest {
  readonly url: string
  readonly method: string
  readonly header: Headers
  readonly body?: AsyncIterable<Uint8Array>
  readonly signal?: AbortSignal
}

/** An answer as they want it (`UniversalClientResponse`). */
export interface ConnectResponse {
  readonly status: number
  readonly header: Headers
  readonly body: AsyncIterable<Uint8Array>
  /** Filled when the body has been read. */
  readonly trailer: Headers
}

/** What a transport of Connect-ES for any of its three protocols needs; each field may be replaced. */
export interface ConnectTransportOptions {
  readonly baseUrl: string
  readonly httpClient: (request: ConnectRequest) => Promise<ConnectResponse>
  readonly useBinaryFormat: boolean
  readonly interceptors: never[]
  readonly acceptCompression: never[]
  readonly sendCompression: null
  readonly compressMinBytes: number
  readonly readMaxBytes: number
  readonly writeMaxBytes: number
}

/** The codes of Connect, which are gRPC's. */
const CANCELED = 1
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14
/** Connect's own limit of a message, in bytes. */
const MAX_MESSAGE_BYTES = 0xffff_ffff

/**
 * Puts clients of Connect-ES on the mesh, with Connect, gRPC or gRPC-web:
 *
 *     import { createTransport } from '@connectrpc/connect/protocol-grpc'
 *     const client = createClient(VotingService, createTransport(inmeshConnect({ mesh, baseUrl: 'http://voting' })))
 *
 * Every call picks its endpoint. gRPC needs HTTP/2: a service with `protocol: 'h2c'`, or https. What a call ends with is judged by its HTTP status alone,
 * since Connect keeps the messages to itself: a gRPC status in the trailers is neither counted nor sent again, and only what never reached a server is, unless the method is
 * a GET.
 *
 * @param options.baseUrl as Connect's transports take it
 */
export function inmeshConnect({ mesh, baseUrl }: ConnectOptions): ConnectTransportOptions {
  return {
    baseUrl,
    httpClient: (request) => send(mesh.request, request),
    useBinaryFormat: true,
    interceptors: [],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 1_024,
    readMaxBytes: MAX_MESSAGE_BYTES,
    writeMaxBytes: MAX_MESSAGE_BYTES,
  }
}

export interface ConnectOptions {
  readonly mesh: { readonly request: MeshRequest }
  readonly baseUrl: string
}

async function send(request: MeshRequest, { url, method, header, body, signal }: ConnectRequest): Promise<ConnectResponse> {
  try {
    const answer = await request(url, {
      method: method as 'POST',
      headers: flat(header),
      ...(body === undefined ? {} : { body: (await wholeIfReady(body)) as Buffer }),
      ...(signal === undefined ? {} : { signal }),
    })
    const trailer = new Headers()
    return { status: answer.statusCode, header: read(new Headers(), answer.headers), body: chunks(answer, trailer), trailer }
  } catch (error) {
    throw connectError(error, signal)
  }
}

async function* chunks({ body, trailers }: Awaited<ReturnType<MeshRequest>>, trailer: Headers): AsyncGenerator<Uint8Array> {
  yield* body as AsyncIterable<Uint8Array>
  read(trailer, trailers)
}

/**
 * A call with one message has given it by the next turn of the loop: then it is sent with its length, and can be sent again. What takes longer is a stream.
 */
async function wholeIfReady(body: AsyncIterable<Uint8Array>): Promise<Buffer | AsyncIterable<Uint8Array>> {
  const source = body[Symbol.asyncIterator]()
  const soon = turn()
  const ready: Uint8Array[] = []
  for (;;) {
    const next = source.next()
    // told to whoever reads on
    next.catch(() => {})
    const result = ready.length > 1 ? undefined : await Promise.race([next, soon])
    if (result === undefined) return continued(ready, next, source)
    if (result.done === true) return Buffer.concat(ready)
    ready.push(result.value)
  }
}

async function* continued(
  ready: readonly Uint8Array[],
  next: Promise<IteratorResult<Uint8Array>>,
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    yield* ready
    for (let result = await next; result.done !== true; result = await source.next()) yield result.value
  } finally {
    await source.return?.()
  }
}

function flat(header: Headers): string[] {
  return [...header].flat()
}

function read(header: Headers, given: IncomingHttpHeaders | Record<string, string | string[]>): Headers {
  for (const [name, value] of Object.entries(given)) {
    for (const one of Array.isArray(value) ? value : [value]) header.append(name, String(one))
  }
  return header
}

/** Connect knows its errors by their fields (`ConnectError[Symbol.hasInstance]`), so that none of its modules is needed to make one. */
function connectError(error: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return coded(CANCELED, signal.reason ?? error)
  if (!(error instanceof MeshError)) return error
  return coded(error.code === 'INMESH_TIMEOUT' ? DEADLINE_EXCEEDED : UNAVAILABLE, error)
}

function coded(code: number, cause: unknown): unknown {
  // a reason that has a code already: Connect's own deadline
  if ((cause as { name?: string } | undefined)?.name === 'ConnectError') return cause
  const rawMessage = cause instanceof Error ? cause.message : String(cause)
  const message = `[${CODE_NAMES[code]}] ${rawMessage}`
  return Object.assign(new Error(message, { cause }), {
    name: 'ConnectError',
    code,
    rawMessage,
    cause,
    metadata: new Headers(),
    details: [],
  })
}

const CODE_NAMES: Readonly<Record<number, string>> = {
  [CANCELED]: 'canceled',
  [DEADLINE_EXCEEDED]: 'deadline_exceeded',
  [UNAVAILABLE]: 'unavailable',
}
