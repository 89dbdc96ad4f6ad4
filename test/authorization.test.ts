import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type MeshOptions } from '../src/index.ts'
import { inmeshHttp } from '../src/server/node-http.ts'
import { answer } from './support/grpc-engine.ts'
import { Trial, trialHandlers } from './support/grpc-trial.ts'
import { cleanup, serve } from './support/servers.ts'

const RULE = { name: 'admin', matches: [{ path: { value: '/admin' } }], allow: [] }

/** A mesh that serves on two ports, and one that calls it as `voting`. */
async function meshes(t: TestContext, inbound: NonNullable<MeshOptions['inbound']>) {
  t.mock.method(process, 'emitWarning', () => {})
  const server = createMesh({ inbound })
  const listener = inmeshHttp({ mesh: server }, (_request, response) => response.end('served'))
  const ports = [(await serve(t, listener)).port, (await serve(t, listener)).port]
  const voting = { discovery: staticEndpoints(ports.map((port) => `127.0.0.1:${port}`)) }
  const client = createMesh({ name: 'web', services: { voting } })
  cleanup(t, () => Promise.all([client.close(), server.close()]))
  return { server, client }
}

function counted(text: string, metric: string): string[] {
  return [...text.matchAll(new RegExp(`^${metric}\\{(.*)\\} (\\d+)$`, 'gm'))].map(([, labels, count]) => `${labels} ${count}`)
}

test('denials are counted by rule, and what audit lets pass as what would have been refused', async (t) => {
  const { server, client } = await meshes(t, { authorization: { default: 'audit', rules: [RULE] } })

  const asked = ['/admin', '/admin/x', '/votes', '/readyz']
  const statuses = []
  for (const path of asked) statuses.push((await client.fetch(`http://voting${path}`)).status)
  await new Promise<void>((resolve) => server.inbound.whenIdle(resolve))

  const text = server.prometheus()
  assert.deepEqual(statuses, [403, 403, 200, 200])
  assert.deepEqual(counted(text, 'mesh_server_authorization_refused_total'), ['mesh_rule="admin",mesh_protocol="http" 2'])
  assert.deepEqual(counted(text, 'mesh_server_authorization_would_have_refused_total'), [
    'mesh_rule="default",mesh_protocol="http" 1',
  ])
  const [row] = server.stats().inbound
  assert.deepEqual([row?.refused, row?.wouldHaveRefused], [{ unauthorized: 2 }, { unauthorized: 1 }])
})

test('how busy a process is concerns those alone who may call it', async (t) => {
  const { client } = await meshes(t, { authorization: { rules: [RULE] } })

  const refused = await client.fetch('http://voting/admin')
  const served = await client.fetch('http://voting/votes')

  assert.deepEqual(
    [refused, served].map(({ headers }) => headers.has('endpoint-load-metrics')),
    [false, true],
  )
})

test('a call that is refused for who made it is not sent again', async (t) => {
  const { client, server } = await meshes(t, { authorization: { rules: [RULE] } })

  const { status } = await client.fetch('http://voting/admin')
  await new Promise<void>((resolve) => server.inbound.whenIdle(resolve))

  const [service] = client.stats().services
  assert.deepEqual([status, service?.attempts.total, server.stats().inbound[0]?.requests.total], [403, 1, 1])
  assert.equal(service?.calls.failure, 0)
})

test('a gRPC call that is refused for who made it is not sent again', async (t) => {
  t.mock.method(process, 'emitWarning', () => {})
  const mesh = createMesh({ inbound: { authorization: { default: 'deny' } } })
  const server = new grpc.Server({ interceptors: [mesh.grpcServer()] })
  server.addService(Trial.service, trialHandlers('a') as grpc.UntypedServiceImplementation)
  const port = await new Promise<number>((resolve, reject) => {
    const bound = (error: Error | null, free: number) => (error ? reject(error) : resolve(free))
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), bound)
  })
  const caller = createMesh({ services: { voting: { discovery: staticEndpoints([`127.0.0.1:${port}`]) } } })
  const client = new Trial('voting', grpc.credentials.createInsecure(), caller.grpc({ idempotent: [Trial.service] }))
  cleanup(t, async () => {
    client.close()
    await Promise.all([caller.close(), mesh.close()])
    server.forceShutdown()
  })

  await assert.rejects(
    answer((done) => client.ask({}, done)),
    { code: grpc.status.PERMISSION_DENIED },
  )

  assert.deepEqual(caller.stats().services[0]?.attempts.total, 1)
  assert.deepEqual(counted(mesh.prometheus(), 'mesh_server_authorization_refused_total'), [
    'mesh_rule="default",mesh_protocol="grpc" 1',
  ])
})

test('a policy is replaced while the mesh runs', async (t) => {
  const { client, server } = await meshes(t, {})
  const status = async () => (await client.fetch('http://voting/admin')).status

  const before = await status()
  server.inbound.authorize({ rules: [RULE] })
  const after = await status()

  assert.deepEqual([before, after], [200, 403])
})
