import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import grpc from '@grpc/grpc-js'
import { Trial, type TrialHandlers, trialHandlers } from './grpc-trial.ts'
import { cleanup } from './servers.ts'

/** A real grpc-js server on a free port of the loopback, ended with the test. */
export interface GrpcServer {
  readonly name: string
  readonly port: number
  readonly server: grpc.Server
  /** How many calls came, by method. */
  readonly calls: Record<string, number>
  /** The metadata of each call, in order. */
  readonly metadata: grpc.Metadata[]
  /** Cuts off everybody. */
  readonly kill: () => void
}

export interface GrpcServerOptions {
  readonly name?: string
  /** In place of those that do what they are asked. */
  readonly handlers?: TrialHandlers
  readonly credentials?: grpc.ServerCredentials
  readonly options?: grpc.ServerOptions
  /** Default: any that is free. */
  readonly port?: number
}

export async function serveGrpc(t: TestContext, given: GrpcServerOptions = {}): Promise<GrpcServer> {
  const { name = 'a', handlers = {}, credentials = grpc.ServerCredentials.createInsecure(), options = {}, port = 0 } = given
  const calls: Record<string, number> = {}
  const metadata: grpc.Metadata[] = []
  const server = new grpc.Server(options)
  const counted = Object.entries({ ...trialHandlers(name), ...handlers }).map(([method, handler]) => [
    method,
    (call: grpc.ServerUnaryCall<unknown, unknown>, callback: grpc.sendUnaryData<unknown>) => {
      calls[method] = (calls[method] ?? 0) + 1
      metadata.push(call.metadata)
      ;(handler as grpc.handleUnaryCall<unknown, unknown>)(call, callback)
    },
  ])
  server.addService(Trial.service, Object.fromEntries(counted))
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, free) => (error ? reject(error) : resolve(free))),
  )
  const kill = () => server.forceShutdown()
  cleanup(t, kill)
  return { name, port: bound, server, calls, metadata, kill }
}

/** As many servers as there are names. */
export function serveGrpcs(t: TestContext, names: string): Promise<GrpcServer[]> {
  return Promise.all([...names].map((name) => serveGrpc(t, { name })))
}

/** A server that handles HTTP/2 streams by hand. */
export async function serveFrames(
  t: TestContext,
  handle: (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => void,
): Promise<{ port: number }> {
  const server = http2.createServer()
  const sessions = new Set<http2.ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    handle(stream, headers)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanup(t, () => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port }
}
