import assert from 'node:assert/strict'
import http from 'node:http'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import type { DiscoveryFactory, Update } from '../src/core/discovery.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, type MeshOptions } from '../src/index.ts'
import { streamOf } from '../src/server/grpc-inside.ts'
import { identityOf as proved } from '../src/server/secure-connection.ts'
import { answer } from './support/grpc-engine.ts'
import { Trial, type TrialClient, trialHandlers } from './support/grpc-trial.ts'
import { identityOf, VOTING, WEB } from './support/meshed.ts'
import { cleanup } from './support/servers.ts'
import { TrialSource } from './tls/trial-identities.ts'

const OTHER = 'spiffe://cluster.local/ns/emojivoto/sa/emoji'

test('an endpoint whose identity becomes known is no longer called over the connections in plaintext that there are', async (t) => {
  const { port, grpcPort, callers } = await voting(t)
  const [one, two] = [pushed(), pushed()]
  const services = { voting: { discovery: one.discovery }, tally: { discovery: two.discovery } }
  const call = doors(t, meshOf(t, { name: 'web', identity: new TrialSource(identityOf(WEB)).factory, services }))
  one.push({ addresses: [{ host: '127.0.0.1', port }] })
  two.push({ addresses: [{ host: '127.0.0.1', port: grpcPort }] })
  await call()
  assert.deepEqual(new Set(callers.splice(0)), new Set([undefined]))

  one.push({ addresses: [{ host: '127.0.0.1', port, identity: VOTING }] })
  two.push({ addresses: [{ host: '127.0.0.1', port: grpcPort, identity: VOTING }] })
  await call()
  assert.deepEqual(new Set(callers.splice(0)), new Set([WEB]))

  one.push({ addresses: [{ host: '127.0.0.1', port, identity: OTHER }] })
  two.push({ addresses: [{ host: '127.0.0.1', port: grpcPort, identity: OTHER }] })
  await assertAllFail(call, new RegExp(`of ${VOTING}: is believed, and ${OTHER} was expected`))
  assert.deepEqual(callers, [])
})

test('connections of one service are not used for another that allows other identities at the same address', async (t) => {
  const { port, grpcPort, callers } = await voting(t)
  const at = (port: number, id: string) => ({
    discovery: staticEndpoints([{ host: '127.0.0.1', port, identity: VOTING }]),
    mtls: { identities: [id] },
    retry: 'off' as const,
  })
  const mesh = meshOf(t, {
    name: 'web',
    identity: new TrialSource(identityOf(WEB)).factory,
    services: {
      voting: at(port, VOTING),
      tally: at(grpcPort, VOTING),
      'voting-b': at(port, OTHER),
      'tally-b': at(grpcPort, OTHER),
    },
  })
  await doors(t, mesh)()
  assert.deepEqual(new Set(callers.splice(0)), new Set([WEB]))

  await assertAllFail(doors(t, mesh, '-b'), new RegExp(`of ${VOTING}: is believed, and ${OTHER} was expected`))
  assert.deepEqual(callers, [])
})

/** A server of each kind in plaintext and by TLS, which notes who calls. */
async function voting(t: TestContext) {
  const mesh = meshOf(t, { name: 'voting', identity: new TrialSource(identityOf(VOTING)).factory })
  const callers: (string | undefined)[] = []
  const server = http.createServer((request, response) => {
    callers.push(proved(request.socket))
    response.end()
  })
  const port = await mesh.listen(server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => void server.close().closeAllConnections())
  const noting: grpc.ServerInterceptor = (_, next) => {
    callers.push(proved(streamOf(next)?.session?.socket))
    return new grpc.ServerInterceptingCall(next)
  }
  const grpcServer = new grpc.Server({ interceptors: [noting] })
  grpcServer.addService(Trial.service, trialHandlers('a') as never)
  const grpcPort = await mesh.listen(grpcServer, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => grpcServer.forceShutdown())
  return { port, grpcPort, callers }
}

/** Calls through every door at once; each call keeps its connection. */
function doors(t: TestContext, mesh: Mesh, suffix = ''): () => Promise<PromiseSettledResult<unknown>[]> {
  const client: TrialClient = new Trial(`tally${suffix}`, grpc.credentials.createInsecure(), mesh.grpc() as grpc.ClientOptions)
  cleanup(t, () => client.close())
  const url = `http://voting${suffix}/`
  return () =>
    Promise.allSettled([
      mesh.fetch(url).then((response) => response.text()),
      mesh.request(url).then(({ body }) => body.text()),
      new Promise<void>((resolve, reject) => {
        http.get(url, { agent: mesh.httpAgent }, (response) => response.resume().on('end', resolve)).on('error', reject)
      }),
      answer((done) => client.empty({}, done)),
    ])
}

async function assertAllFail(call: () => Promise<PromiseSettledResult<unknown>[]>, message: RegExp): Promise<void> {
  for (const result of await call()) {
    assert.equal(result.status, 'rejected')
    const { message: text, cause } = result.reason as Error
    assert.match(text === 'fetch failed' ? (cause as Error).message : text, message)
  }
}

/** A discovery that tells what it is told. */
function pushed(): { discovery: DiscoveryFactory; push: (update: Update) => void } {
  let tell: ((update: Update) => void) | undefined
  let last: Update | undefined
  const discovery: DiscoveryFactory = () => ({
    watch: (_service, onUpdate) => {
      tell = onUpdate
      if (last !== undefined) onUpdate(last)
      return () => {}
    },
  })
  return {
    discovery,
    push(update) {
      last = update
      tell?.(update)
    },
  }
}

function meshOf(t: TestContext, options: MeshOptions): Mesh {
  const mesh = createMesh(options)
  cleanup(t, () => mesh.close())
  return mesh
}
