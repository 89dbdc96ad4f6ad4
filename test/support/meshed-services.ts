import type { TestContext } from 'node:test'
import grpc from '@grpc/grpc-js'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh, type Mesh } from '../../src/index.ts'
import { inmeshHttp, type ServedListener } from '../../src/server/node-http.ts'
import { answer } from './grpc-engine.ts'
import { type Answer, type Question, Trial, type TrialClient } from './grpc-trial.ts'
import { cleanup, serve } from './servers.ts'

/** How a service of a chain does its work; `ask` asks the next one by gRPC, `mesh` by HTTP: `http://next/`. */
export interface Hop {
  readonly mesh: Mesh
  ask(metadata?: grpc.Metadata): Promise<Answer>
}

/** A mesh that knows of one service, `next`; closed with the test. */
export function callerOf(t: TestContext, name: string, next: number | undefined, timeoutMs = 0): Hop {
  const services = next === undefined ? {} : { next: { discovery: staticEndpoints([`127.0.0.1:${next}`]), timeoutMs } }
  const mesh = createMesh({ name, services })
  cleanup(t, () => mesh.close())
  let client: TrialClient | undefined
  const ask = (metadata = new grpc.Metadata()): Promise<Answer> => {
    if (client === undefined) {
      const made = new Trial('next', grpc.credentials.createInsecure(), mesh.grpc())
      client = made
      cleanup(t, () => made.close())
    }
    return answer<Answer>((done) => client?.ask({}, metadata, done))
  }
  return { mesh, ask }
}

/** A service with a mesh of its own, over HTTP. Resolves to its port. */
export async function httpService(
  t: TestContext,
  name: string,
  next: number | undefined,
  listener: (hop: Hop) => ServedListener,
): Promise<number> {
  const hop = callerOf(t, name, next)
  return (await serve(t, inmeshHttp({ mesh: hop.mesh, onError: () => {} }, listener(hop)))).port
}

/** The same over gRPC: `Trial.Ask` does the work, and answers with the text that it resolves to. */
export function grpcService(
  t: TestContext,
  name: string,
  next: number | undefined,
  work: (hop: Hop, call: grpc.ServerUnaryCall<Question, Answer>) => Promise<string>,
): Promise<number> {
  const hop = callerOf(t, name, next)
  const server = new grpc.Server({ interceptors: [hop.mesh.grpcServer()] })
  const ask: grpc.handleUnaryCall<Question, Answer> = (call, done) => {
    work(hop, call).then((text) => done(null, { body: Buffer.alloc(0), server: text }), done)
  }
  server.addService(Trial.service, { ask })
  cleanup(t, () => server.forceShutdown())
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  )
}
