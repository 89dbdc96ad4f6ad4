import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import { GRPC_TIMEOUT_HEADER, type HeaderValue, readGrpcTimeout } from '../core/context-headers.ts'
import { type CallSource, GrpcInbound } from './grpc-inbound.ts'
import { eachHttp2Server, hasMethod } from './grpc-inside.ts'
import type { Reception } from './reception.ts'

/**
 * Counts the calls to methods that a server of grpc-js does not have. It answers these itself, before any interceptor is asked, so without this nobody sees
 * them. They take part in limits, but what a limit says of them comes too late. Their route is empty, as their paths are the callers' to choose.
 */
export function countUnknownMethods(reception: Reception, server: object): void {
  eachHttp2Server(server, (http2Server: Http2Server) => {
    http2Server.on('stream', (stream, headers) => {
      const path = headers[':path'] ?? ''
      if (!hasMethod(server, path) && headers['content-type']?.startsWith('application/grpc'))
        count(reception, path, stream, headers)
    })
  })
}

function count(reception: Reception, path: string, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
  const source = new UnknownCall(stream, headers)
  const inbound = new GrpcInbound(reception, path, source, readGrpcTimeout(headers[GRPC_TIMEOUT_HEADER]))
  reception.begin(inbound)
  stream.once('close', () => reception.end(inbound, UNIMPLEMENTED, stream.rstCode === 0 ? 'ok' : 'cancelled'))
}

const UNIMPLEMENTED = 12

class UnknownCall implements CallSource {
  readonly #headers: IncomingHttpHeaders
  readonly socket: { readonly remoteAddress?: string | undefined } | undefined

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders) {
    this.#headers = headers
    this.socket = stream.session?.socket
  }

  values(name: string): readonly string[] {
    const value = this.#headers[name] as HeaderValue
    if (value === undefined) return []
    return typeof value === 'string' ? [value] : value
  }

  getConnectionInfo(): { remoteAddress: string | undefined } {
    return { remoteAddress: this.socket?.remoteAddress }
  }
}
