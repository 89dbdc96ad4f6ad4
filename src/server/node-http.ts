import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import type { Inbound } from '../core/inbound.ts'
import { carry } from './carry.ts'
import { type HttpInbound, type HttpRequest, receivedBy } from './http-inbound.ts'
import { type HttpResponse, isHttp2, receive, refuse } from './http-reception.ts'
import { inContext } from './in-context.ts'
import type { ServingMesh } from './reception.ts'

export interface InmeshHttpOptions {
  readonly mesh: ServingMesh
  /** Told of what a handler threw or rejected with. Default: a warning of the process, with the handler's stack. */
  readonly onError?: (error: unknown, inbound: Inbound) => void
}

/** A request with what the mesh knows of it. */
export type Served<Request> = Request & { readonly mesh: Inbound }

/** A handler of node:http, node:https, or the compatibility API of node:http2. */
export type ServedListener<Request = IncomingMessage, Response = ServerResponse> = (
  request: Served<Request>,
  response: Response,
) => unknown

/**
 * Wraps a request listener: `http.createServer(inmeshHttp({ mesh }, (request, response) => ...))`, the same for https and http2.
 *
 * The handler finds `request.mesh`; every call that it makes inherits deadline and cancellation. A handler that throws or rejects answers with 500 (or breaks
 * its answer off, if it had begun) and does not end the process. Upgrades and CONNECT are other events and pass by.
 */
export function inmeshHttp(
  options: InmeshHttpOptions,
  listener: ServedListener,
): (request: IncomingMessage, response: ServerResponse) => void
export function inmeshHttp(
  options: InmeshHttpOptions,
  listener: ServedListener<Http2ServerRequest, Http2ServerResponse>,
): (request: Http2ServerRequest, response: Http2ServerResponse) => void
export function inmeshHttp(
  { mesh, onError = warn }: InmeshHttpOptions,
  listener: ServedListener<never, never>,
): (request: never, response: never) => void {
  const { inbound: reception } = mesh
  const handle = listener as (request: HttpRequest, response: HttpResponse) => unknown

  const run = (inbound: HttpInbound, request: HttpRequest, response: HttpResponse): void => {
    try {
      const result = handle(request, response)
      if (result instanceof Promise) result.catch((error) => failed(error, inbound, response))
    } catch (error) {
      failed(error, inbound, response)
    }
  }
  const failed = (error: unknown, inbound: HttpInbound, response: HttpResponse): void => {
    answerFailure(response)
    onError(error, inbound)
  }

  return (request: HttpRequest, response: HttpResponse) => {
    const known = receivedBy(reception, request)
    if (known !== undefined) return run(known, request, response)
    const inbound = receive(reception, request, response)
    if (inbound.refusal !== undefined) return refuse(response, inbound.refusal)
    carry(request)
    inContext(inbound, request, () => run(inbound, request, response))
  }
}

/** 500 if nothing was said yet; an answer that has begun can only be broken off. */
function answerFailure(response: HttpResponse): void {
  if (response.writableEnded) return
  if (response.headersSent) {
    if (isHttp2(response)) response.stream.close(2)
    else response.destroy()
    return
  }
  for (const name of response.getHeaderNames()) response.removeHeader(name)
  response.statusCode = 500
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end('internal error')
}

function warn(error: unknown, { method, path }: Inbound): void {
  const detail = error instanceof Error ? error.stack : undefined
  const text = error instanceof Error ? error.message : String(error)
  process.emitWarning(`${method} ${path}: the handler threw: ${text}`, {
    type: 'InmeshHandlerWarning',
    ...(detail === undefined ? {} : { detail }),
  })
}
