import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh } from '../src/index.ts'
import { retry } from '../src/resilience/retry.ts'
import { answer } from './support/grpc-engine.ts'
import { serveGrpc } from './support/grpc-servers.ts'
import { type Answer, Trial, type TrialClient, type TrialHandlers } from './support/grpc-trial.ts'
import { cleanup } from './support/servers.ts'

const SERVICE = 'inmesh.trial.Trial'

/** Fails so often, then answers. */
function failing(times: number): grpc.handleUnaryCall<object, object> {
  let calls = 0
  return (_call, done) => {
    if (++calls <= times) done({ code: grpc.status.UNAVAILABLE, details: 'try again' })
    else done(null, { server: 'a' })
  }
}

const missing: grpc.handleUnaryCall<object, object> = (_call, done) => done({ code: grpc.status.NOT_FOUND })

async function meshed(t: TestContext, handlers: TrialHandlers) {
  const server = await serveGrpc(t, { handlers })
  const mesh = createMesh({
    services: {
      voting: {
        discovery: staticEndpoints([`127.0.0.1:${server.port}`]),
        retry: 'off',
        routes: [
          {
            name: 'ask',
            matches: [{ method: { service: SERVICE, method: 'Ask' } }],
            timeouts: { request: '30ms' },
          },
          {
            name: 'read',
            matches: [{ method: { type: 'RegularExpression', service: 'inmesh\\.trial\\..*', method: 'Rea.' } }],
            retry: retry({ attempts: 3, backoff: () => () => 0 }),
          },
        ],
      },
    },
  })
  const everything = { idempotent: () => true }
  const client: TrialClient = new Trial('voting:8080', grpc.credentials.createInsecure(), mesh.grpc(everything))
  cleanup(t, async () => {
    client.close()
    await mesh.close()
  })
  const routes = () => {
    const [voting] = mesh.stats().services
    return Object.fromEntries((voting?.routes ?? []).map(({ name, calls }) => [name, [calls.total, calls.retries]]))
  }
  return { client, mesh, routes, calls: server.calls }
}

test("a GRPCRoute's rule gives one method a time of its own, and others keep the service's", async (t) => {
  const { client, routes } = await meshed(t, { ask: () => {} })

  await assert.rejects(
    answer((done) => client.ask({}, done)),
    { code: grpc.status.DEADLINE_EXCEEDED },
  )
  assert.deepEqual(await answer((done) => client.empty({}, done)), {})

  assert.deepEqual(routes(), { ask: [1, 0], default: [1, 0] })
})

test("a GRPCRoute's rule gives methods a retry of their own, and others keep the service's", async (t) => {
  const { client, routes, calls } = await meshed(t, { read: failing(2), empty: failing(1) })

  assert.equal((await answer<Answer>((done) => client.read({}, done))).server, 'a')
  await assert.rejects(
    answer((done) => client.empty({}, done)),
    { code: grpc.status.UNAVAILABLE, details: 'try again' },
  )

  assert.deepEqual(calls, { read: 3, empty: 1 })
  assert.deepEqual(routes(), { read: [1, 1], default: [1, 0] })
})

test('the metrics have the status of each attempt and that of its call', async (t) => {
  const { client, mesh } = await meshed(t, { read: failing(1), empty: missing })

  await answer((done) => client.read({}, done))
  await assert.rejects(answer((done) => client.empty({}, done)))

  const counted = (name: string) =>
    [
      ...mesh
        .prometheus()
        .matchAll(new RegExp(`^${name}_seconds_count\\{.*Trial/(\\w+)".*grpc_status="(\\w+)".*\\} (\\d+)$`, 'gm')),
    ].map(([, method, status, count]) => `${method} ${status} ${count}`)
  assert.deepEqual(counted('grpc_client_attempt_duration').sort(), ['Empty NOT_FOUND 1', 'Read OK 1', 'Read UNAVAILABLE 1'])
  assert.deepEqual(counted('grpc_client_call_duration').sort(), ['Empty NOT_FOUND 1', 'Read OK 1'])
})
