import http2 from 'node:http2'
import type { TestContext } from 'node:test'
import { cleanup } from '../../support/servers.ts'

/** A client that says what it is told, well-formed or not, over one connection. */
export interface RawGrpcClient {
  readonly session: http2.ClientHttp2Session
  /** Begins a call; `body` is sent as it is, and the request ended when there is one. */
  readonly call: (path: string, headers?: http2.OutgoingHttpHeaders, body?: Buffer) => http2.ClientHttp2Stream
  /** The gRPC code that a call ends with; -1 when it is reset instead. */
  readonly code: (stream: http2.ClientHttp2Stream) => Promise<number>
}

/** An empty message. */
export const EMPTY_MESSAGE: Buffer = Buffer.alloc(5)

export function rawGrpcClient(t: TestContext, port: number): RawGrpcClient {
  const session = http2.connect(`http://127.0.0.1:${port}`, { peerMaxConcurrentStreams: 100_000 })
  session.on('error', () => {})
  cleanup(t, () => session.destroy())

  const call = (path: string, headers: http2.OutgoingHttpHeaders = {}, body?: Buffer) => {
    const usual = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers' }
    const stream = session.request({ ...usual, ...headers })
    stream.on('error', () => {})
    if (body !== undefined) stream.end(body)
    return stream
  }
  const code = (stream: http2.ClientHttp2Stream) =>
    new Promise<number>((resolve) => {
      let found = -1
      const look = (headers: http2.IncomingHttpHeaders) => {
        if (headers['grpc-status'] !== undefined) found = Number(headers['grpc-status'])
      }
      stream.on('response', look).on('trailers', look)
      stream.on('close', () => resolve(found)).resume()
    })
  return { session, call, code }
}
