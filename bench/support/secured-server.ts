/**
 * Run as a child process: the same small answers over HTTP/1.1, HTTP/2 and gRPC, in the clear and by mutual TLS with the identity in the directory
 * that its argument names. Tells its parent the ports, then how much CPU it has used whenever it is asked. Ends with its parent.
 */
import { readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { createMesh } from '../../src/index.ts'
import { files } from '../../src/tls/files.ts'
import { BENCH_SERVICE } from './grpc-service.ts'

export interface SecuredPorts {
  readonly http: number
  readonly httpTls: number
  /** As Node alone does it. */
  readonly https: number
  readonly h2: number
  readonly h2Tls: number
  readonly grpc: number
  readonly grpcTls: number
}
/** What the parent is told: first the ports, then microseconds of CPU. */
export type FromSecuredServer = { readonly ports: SecuredPorts } | { readonly cpuUs: number }

const TEXT = JSON.stringify({ message: 'a small answer, as many services give', id: 42 })
/** Connections that are counted must not be closed meanwhile. */
const KEEP_ALIVE_MS = 600_000
/** Callers choose one of the loopback's addresses each, where a port of its own for each endpoint would be too much. */
const HOST = '0.0.0.0'

const directory = process.argv[2] as string
const mesh = createMesh({ name: 'bench', identity: files({ directory }) })
const secured = { port: 0, host: HOST, mode: 'strict' } as const
const plain: RequestListener = (request, response) => {
  request.resume()
  response.setHeader('content-type', 'application/json')
  response.setHeader('content-length', TEXT.length)
  response.end(TEXT)
}
const http1 = () => createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, plain)
const pem = (file: string) => readFileSync(join(directory, file))
const bareTls = {
  cert: pem('tls.crt'),
  key: pem('tls.key'),
  ca: pem('ca.crt'),
  requestCert: true,
  minVersion: 'TLSv1.3',
} as const
const h2 = () => http2.createServer(plain as never)
const trial = () => {
  const server = new grpc.Server()
  const answer = Buffer.from(TEXT)
  server.addService(BENCH_SERVICE, { ask: ((_call, done) => done(null, answer)) as grpc.handleUnaryCall<Buffer, Buffer> })
  return server
}

const ports: SecuredPorts = {
  http: await listen(http1()),
  httpTls: await mesh.listen(http1(), secured),
  https: await listen(https.createServer({ ...bareTls, keepAliveTimeout: KEEP_ALIVE_MS }, plain)),
  h2: await listen(h2()),
  h2Tls: await mesh.listen(h2(), secured),
  grpc: await bind(trial()),
  grpcTls: await mesh.listen(trial(), secured),
}
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  tell({ cpuUs: user + system })
})
process.on('disconnect', () => process.exit())
tell({ ports })

function tell(message: FromSecuredServer): void {
  process.send?.(message)
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => server.listen(0, HOST, () => resolve((server.address() as AddressInfo).port)))
}

function bind(server: grpc.Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync(`${HOST}:0`, grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  )
}
