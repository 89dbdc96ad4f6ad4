/**
 * Run as a child process: the same small handler in the framework that its argument names, bare (twice), with a middleware that does nothing and with the mesh,
 * each on a port of its own. Tells its parent the ports, then how much CPU it has used whenever it is asked. Ends with its parent.
 */
import http from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import grpc from '@grpc/grpc-js'
import Fastify from 'fastify'
import { systemClock, systemRandom } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { inmeshExpress } from '../../src/server/express.ts'
import { inmeshFastify } from '../../src/server/fastify.ts'
import { grpcServerInterceptor } from '../../src/server/grpc.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { Reception } from '../../src/server/reception.ts'
import { GoldenMetrics } from '../../src/telemetry/golden-metrics.ts'
import { BENCH_SERVICE } from './grpc-service.ts'

export type Framework = 'node:http' | 'express' | 'fastify' | 'grpc-js'
export type Server = 'bare' | 'again' | 'empty' | 'meshed'
/** What the parent is told: first the ports, then microseconds of CPU. */
export type FromServer = { readonly ports: Readonly<Record<Server, number>> } | { readonly cpuUs: number }

type ExpressApp = { use(fn: unknown): void; get(path: string, fn: unknown): void } & http.RequestListener

const require = createRequire(import.meta.url)
const ANSWER = { message: 'a small answer, as many services give', id: 42 }
const TEXT = JSON.stringify(ANSWER)

const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
const mesh = { inbound: new Reception({ name: 'bench', runtime, observer: new GoldenMetrics(systemClock).inbound }) }

const START: Readonly<Record<Framework, (server: Server) => Promise<number>>> = {
  'node:http': (server) => listen(NODE_HTTP[server]),
  express: (server) => listen(express(server)),
  fastify,
  'grpc-js': grpcJs,
}
const NODE_HTTP: Readonly<Record<Server, http.RequestListener>> = {
  bare: plain,
  again: plain,
  empty: (request, response) => plain(request, response),
  meshed: inmeshHttp({ mesh }, plain),
}
const start = START[process.argv[2] as Framework]
const ports = {
  bare: await start('bare'),
  again: await start('again'),
  empty: await start('empty'),
  meshed: await start('meshed'),
}
process.on('message', () => {
  const { user, system } = process.cpuUsage()
  tell({ cpuUs: user + system })
})
process.on('disconnect', () => process.exit())
tell({ ports })

function tell(message: FromServer): void {
  process.send?.(message)
}

function plain(_request: http.IncomingMessage, response: http.ServerResponse): void {
  response.setHeader('content-type', 'application/json')
  response.setHeader('content-length', TEXT.length)
  response.end(TEXT)
}

function listen(listener: http.RequestListener): Promise<number> {
  const server = http.createServer(listener)
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)))
}

function express(server: Server): ExpressApp {
  const app = makeExpress()()
  if (server === 'meshed') app.use(inmeshExpress({ mesh }))
  if (server === 'empty') app.use((_request: unknown, _response: unknown, next: () => void) => next())
  app.get('/api/:id', (_request: unknown, response: { json(body: unknown): void }) => response.json(ANSWER))
  return app
}

/** Express 5 where it is installed, else 4. */
function makeExpress(): () => ExpressApp {
  try {
    return require('express')
  } catch {
    return require('express4')
  }
}

async function fastify(server: Server): Promise<number> {
  const app = Fastify()
  if (server === 'meshed') app.register(inmeshFastify, { mesh })
  if (server === 'empty') app.addHook('onRequest', (_request, _reply, next) => next())
  app.get('/api/:id', (_request, reply) => reply.send(ANSWER))
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}

function grpcJs(server: Server): Promise<number> {
  const interceptors: Partial<Record<Server, grpc.ServerInterceptor>> = {
    empty: (_method, call) => new grpc.ServerInterceptingCall(call),
    meshed: grpcServerInterceptor(mesh.inbound),
  }
  const { [server]: interceptor } = interceptors
  const app = new grpc.Server(interceptor && { interceptors: [interceptor] })
  const bytes = Buffer.from(TEXT)
  app.addService(BENCH_SERVICE, {
    ask: ((_call, callback) => callback(null, bytes)) as grpc.handleUnaryCall<Buffer, Buffer>,
  })
  return new Promise((resolve, reject) =>
    app.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  )
}
