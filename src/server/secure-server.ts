import { Server as HttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket, type TLSSocketOptions, Server as TlsServer } from 'node:tls'
import { MeshError } from '../core/errors.ts'
import { type SecureConnection, secureConnectionOf } from './secure-connection.ts'
import { SecureListener, type Security, type TlsMode } from './secure-listener.ts'

/** Any of Node's servers for HTTP: of `http`, `https` and `http2`, and so those of Fastify and Express. */
export type AnyHttpServer = Server & { closeAllConnections?(): void }

export interface SecureServerOptions {
  /** Default: the mesh's. */
  readonly mode?: TlsMode
}

/**
 * Makes a server speak TLS with this process's identity, on the port that it has or will get, without a change of its code: its listeners hear
 * of a connection when it is known who calls. A server made for plaintext serves both kinds of callers, unless it is strict; one that was made
 * for TLS (`https`, `http2.createSecureServer`) serves TLS alone, and its own certificates are no longer used. `closeAllConnections()` and
 * `close()` also end connections that have said nothing yet.
 *
 * Fastify makes one server more for each further address of a name (`localhost` has two): give it
 * `serverFactory: (handler) => secure(http.createServer(handler))`, so that each is secured.
 *
 * Costs nothing per request that could be measured.
 *
 * @returns the server
 * @throws MeshError INMESH_CONFIG for a server that is secured already, or a mode that there is not
 */
export function secureServer<S extends AnyHttpServer>(
  security: Security,
  server: S,
  { mode = security.mode }: SecureServerOptions = {},
): S {
  if (SECURED.has(server)) throw new MeshError('INMESH_CONFIG', 'secure: this server is secured already')
  const isHttp1 = server instanceof HttpServer
  const tlsOnly = server instanceof TlsServer
  const leaveHttp1 = http1Leaving(server)
  const ready = tlsOnly ? 'secureConnection' : 'connection'
  const { emit } = server

  const listener = new SecureListener(security, {
    mode,
    tlsOnly,
    protocols: protocolsOf(server, isHttp1),
    serve(socket, connection) {
      if (connection !== undefined && (connection.socket.alpnProtocol || 'http/1.1') === 'http/1.1') {
        connection.leave = () => leaveHttp1(connection)
      }
      // As Node's own servers leave it; HTTP/2 asks for it when it falls back to HTTP/1.1.
      ;(socket as Duplex & { server: Server }).server = server
      Reflect.apply(emit, server, [ready, socket])
    },
  })
  SECURED.add(server)
  server.on('session', http2Leaving)
  // No listener can keep others from hearing of a connection; only this can. It also serves listeners that come later.
  server.emit = function emitSecured(this: Server, event: string | symbol, ...values: unknown[]): boolean {
    if (event !== 'connection' || values[0] instanceof TLSSocket) return Reflect.apply(emit, this, [event, ...values])
    listener.accept(values[0] as Duplex)
    return true
  } as typeof emit
  closesSilent(server, listener)
  return server
}

const SECURED = new WeakSet<Server>()

/** What is agreed on by ALPN: the protocols of the server's own options, else what it speaks. */
function protocolsOf(server: Server, isHttp1: boolean): TLSSocketOptions['ALPNProtocols'] {
  const { ALPNProtocols: own } = server as { ALPNProtocols?: TLSSocketOptions['ALPNProtocols'] }
  return own ?? (isHttp1 ? ['http/1.1'] : ['h2'])
}

/** Node's own `close` ends idle connections; those that never said a word are idle, too. */
function closesSilent(server: AnyHttpServer, listener: SecureListener): void {
  const { close, closeAllConnections } = server
  server.close = function closeSecured(this: Server, done) {
    listener.closeSilent()
    return close.call(this, done)
  }
  if (closeAllConnections === undefined) return
  server.closeAllConnections = function closeAllSecured(this: Server) {
    listener.closeSilent()
    closeAllConnections.call(this)
  }
}

/** How HTTP/2 leaves: GOAWAY; open streams go on. For a server's `session` event. */
export function http2Leaving(session: ServerHttp2Session): void {
  const connection = secureConnectionOf(session.socket)
  if (connection !== undefined) connection.leave = () => session.close()
}

/** How HTTP/1.1 leaves: the next answer says so. As long as nobody leaves, requests are not looked at. */
function http1Leaving(server: Server): (connection: SecureConnection) => void {
  let leaving = 0
  const tell = (request: IncomingMessage, response: ServerResponse): void => {
    if (request.httpVersionMajor < 2 && secureConnectionOf(request.socket)?.leaving) response.setHeader('connection', 'close')
  }
  return ({ socket }) => {
    if (leaving++ === 0) server.prependListener('request', tell)
    socket.once('close', () => {
      if (--leaving === 0) server.off('request', tell)
    })
  }
}
