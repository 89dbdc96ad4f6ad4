import assert from 'node:assert/strict'
import { test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, currentContext } from '../src/index.ts'
import { cleanup } from './support/servers.ts'

const echo: grpc.ServiceDefinition = {
  say: {
    path: '/inmesh.Echo/Say',
    requestStream: false,
    responseStream: false,
    requestSerialize: (text: string) => Buffer.from(text),
    requestDeserialize: (bytes: Buffer) => bytes.toString(),
    responseSerialize: (text: string) => Buffer.from(text),
    responseDeserialize: (bytes: Buffer) => bytes.toString(),
  },
}

test('a call crosses HTTP and gRPC on one mesh, with one deadline, and the server drains', async (t) => {
  const mesh = createMesh({ name: 'echo', drain: { noticeMs: 0, graceMs: 2_000 } })
  const server = new grpc.Server({ interceptors: [mesh.grpcServer()] })
  server.addService(echo, {
    say: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) => {
      const context = currentContext()
      done(null, `${call.request} from ${context?.caller}, bounded: ${context?.deadline !== Number.POSITIVE_INFINITY}`)
    },
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, free) =>
      error ? reject(error) : resolve(free),
    )
  })
  mesh.watchGrpc(server)
  const caller = createMesh({
    name: 'web',
    services: { echo: { discovery: staticEndpoints([`127.0.0.1:${port}`]), timeoutMs: 5_000 } },
  })
  cleanup(t, async () => {
    await caller.close()
    await mesh.close()
    server.forceShutdown()
  })
  const Client = grpc.makeGenericClientConstructor(echo, 'Echo')
  const client = new Client('echo', grpc.credentials.createInsecure(), caller.grpc())
  cleanup(t, () => client.close())

  const said = await new Promise((resolve, reject) => {
    client.say?.('hello', (error: Error | null, text: string) => (error ? reject(error) : resolve(text)))
  })

  assert.equal(said, 'hello from web, bounded: true')
  assert.equal(caller.stats().services[0]?.calls.success, 1)
  assert.equal(mesh.stats().inbound[0]?.caller, 'web')
  assert.match(mesh.prometheus(), /^rpc_server_call_duration_seconds_count\{.*\} 1$/m)
  assert.match(caller.prometheus(), /^rpc_client_call_duration_seconds_count\{.*\} 1$/m)
  assert.equal(await mesh.drain(), 0)
})
