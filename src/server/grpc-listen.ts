import { createServer } from 'node:net'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import { MeshError } from '../core/errors.ts'
import { eachHttp2Server } from './grpc-inside.ts'
import { SecureListener, type Security, type TlsMode } from './secure-listener.ts'
import { http2Leaving } from './secure-server.ts'

/** Where a server of grpc-js is to listen. */
export interface GrpcAddress {
  /** 0 takes any that is free. */
  readonly port: number
  /** Default: every address of the machine. */
  readonly host?: string
  /** Default: the mesh's. */
  readonly mode?: TlsMode
}

/**
 * Takes the place of `bindAsync`: listens by TLS with this process's identity, and in plaintext unless it is strict. `tryShutdown` and
 * `forceShutdown` of the server also stop this listening, and every interceptor and handler sees calls as ever.
 *
 * @returns the port, once it listens
 * @throws the system's error when the port is taken; MeshError INMESH_CONFIG for a grpc-js before 1.14
 */
export async function listenGrpc(security: Security, server: Server, address: GrpcAddress): Promise<number> {
  if (typeof server.createConnectionInjector !== 'function')
    throw new MeshError('INMESH_CONFIG', 'listenGrpc: this grpc-js can not be given connections, expected 1.14 or newer')
  eachHttp2Server(server, (http2Server) => void http2Server.on('session', http2Leaving))
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const listener = new SecureListener(security, {
    mode: address.mode ?? security.mode,
    tlsOnly: false,
    protocols: ['h2'],
    serve(socket) {
      // A server that shuts down would still take it.
      if (acceptor.listening) injector.injectConnection(socket)
      else socket.destroy()
    },
  })
  const acceptor = createServer({ noDelay: true }, (socket) => listener.accept(socket))
  stopsWith(server, () => {
    if (acceptor.listening) acceptor.close()
    listener.closeSilent()
  })
  return listening(acceptor, address)
}

function listening(acceptor: ReturnType<typeof createServer>, { port, host }: GrpcAddress): Promise<number> {
  return new Promise((resolve, reject) => {
    acceptor.once('error', reject)
    acceptor.listen(port, host, () => {
      acceptor.off('error', reject)
      resolve((acceptor.address() as { port: number }).port)
    })
  })
}

/** grpc-js tells nobody that it shuts down. */
function stopsWith(server: Server, stop: () => void): void {
  const { tryShutdown, forceShutdown } = server
  server.tryShutdown = (done) => {
    stop()
    tryShutdown.call(server, done)
  }
  server.forceShutdown = () => {
    stop()
    forceShutdown.call(server)
  }
}
