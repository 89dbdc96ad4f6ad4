import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, mergeStats } from '../src/index.ts'
import { until } from './support/engine.ts'
import { answer } from './support/grpc-engine.ts'
import { serveGrpc } from './support/grpc-servers.ts'
import { type Answer, Trial, type TrialHandlers } from './support/grpc-trial.ts'
import { cleanup, serve } from './support/servers.ts'

/** A mesh whose service `voting` is hedged at once: whichever server is asked first says nothing. */
function meshOf(t: TestContext, ports: readonly number[]): Mesh {
  const discovery = staticEndpoints(ports.map((port) => `127.0.0.1:${port}`))
  const mesh = createMesh({ services: { voting: { discovery, hedge: { hedge: { delayMs: 1 } } } } })
  cleanup(t, () => mesh.close())
  return mesh
}

test('fetch and request are answered by the second server when the first says nothing', async (t) => {
  let [asked, left] = [0, 0]
  const listener = (_request: unknown, response: ServerResponse) => {
    if (++asked % 2 === 0) return void response.end('answer')
    response.on('close', () => left++)
  }
  const servers = await Promise.all([serve(t, listener), serve(t, listener)])
  const mesh = meshOf(
    t,
    servers.map(({ port }) => port),
  )

  assert.equal(await (await mesh.fetch('http://voting/')).text(), 'answer')
  assert.equal(await (await mesh.request('http://voting/')).body.text(), 'answer')
  await until(() => left === 2)

  const stats = mesh.stats()
  const [voting] = stats.services
  assert.deepEqual([voting?.hedges, voting?.calls.total, voting?.attempts.total, voting?.attempts.inFlight], [2, 2, 4, 0])
  assert.deepEqual(voting?.attempts.reasons, { ok: 2, cancelled: 2 })
  assert.equal(mergeStats([stats, stats]).services[0]?.hedges, 4)
  assert.match(mesh.prometheus(), /^mesh_client_hedges_total\{mesh_service="voting",mesh_route="default"\} 2$/m)
})

test('a gRPC client is answered by the second server when the first says nothing', async (t) => {
  let [asked, left] = [0, 0]
  const read = ((call, callback) => {
    if (++asked % 2 === 0) return callback(null, { server: 'second' })
    call.on('cancelled', () => left++)
  }) as grpc.handleUnaryCall<object, Partial<Answer>>
  const handlers = { read } as TrialHandlers
  const servers = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t, { handlers })])
  const mesh = meshOf(
    t,
    servers.map(({ port }) => port),
  )
  const options = mesh.grpc({ idempotent: ['/inmesh.trial.Trial/Read'] }) as unknown as grpc.ClientOptions
  const client = new Trial('voting:8080', grpc.credentials.createInsecure(), options)
  cleanup(t, () => client.close())

  assert.equal((await answer<Answer>((done) => client.read({}, done))).server, 'second')
  await until(() => left === 1)

  assert.equal(mesh.stats().services[0]?.hedges, 1)
  const text = mesh.prometheus()
  assert.match(text, /^grpc_client_call_hedges_sum\{.*grpc_method="inmesh\.trial\.Trial\/Read".*\} 1$/m)
  assert.doesNotMatch(text, /^grpc_client_call_(?:transparent_)?retries_sum/m)
})
