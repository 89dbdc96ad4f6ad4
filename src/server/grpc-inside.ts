import type { Http2Server, ServerHttp2Stream } from 'node:http2'

/**
 * What grpc-js keeps to itself and we look at all the same, since nothing public tells it. All of it is in this file, and all of it may be absent: each reader says
 * what is lost then.
 */
interface InnermostCall {
  readonly stream?: ServerHttp2Stream
  readonly handler?: Handler
}

/** How grpc-js remembers a method's handler. */
export interface Handler {
  func: HandlerFunction
  readonly path: string
}

/** `respond` is given where there is one answer. */
export type HandlerFunction = (call: HandlerCall, respond?: Respond) => unknown
export type HandlerCall = { readonly metadata: object; emit(event: 'error', error: unknown): boolean }
export type Respond = (error: unknown) => void

/** The stream of a call; without it nobody knows what was really sent, and each call is told the load anew. */
export function streamOf(call: object): ServerHttp2Stream | undefined {
  return (call as InnermostCall).stream
}

/** The handler that a call is for; without it a handler's rejection ends the process, as it does with grpc-js alone. */
export function handlerOf(call: object): Handler | undefined {
  const { handler } = call as InnermostCall
  return typeof handler?.func === 'function' ? handler : undefined
}

/** The gRPC code that has gone out on a stream, whoever made it; undefined when none has. */
export function sentStatus({ sentTrailers, sentHeaders }: ServerHttp2Stream): number | undefined {
  const code = sentTrailers?.['grpc-status'] ?? sentHeaders?.['grpc-status']
  return code === undefined ? undefined : Number(code)
}

interface InnerServer {
  readonly handlers?: ReadonlyMap<string, unknown>
  readonly http2Servers?: ReadonlyMap<Http2Server, unknown>
  _setupHandlers?: (server: Http2Server, ...rest: readonly unknown[]) => void
}

/** Which methods a server has; without it none is taken for unknown. */
export function hasMethod(server: object, path: string): boolean {
  return (server as InnerServer).handlers?.has(path) ?? true
}

/**
 * Runs `fn` for each of Node's servers that a server of grpc-js listens with, now and later, after grpc-js has set up its own listeners; never when this
 * version of grpc-js does it in another way.
 */
export function eachHttp2Server(server: object, fn: (server: Http2Server) => void): void {
  const inner = server as InnerServer
  const { _setupHandlers: setUp, http2Servers } = inner
  if (typeof setUp !== 'function') return
  inner._setupHandlers = function setupHandlers(this: InnerServer, http2Server, ...rest) {
    setUp.call(this, http2Server, ...rest)
    fn(http2Server)
  }
  for (const http2Server of http2Servers?.keys() ?? []) fn(http2Server)
}
