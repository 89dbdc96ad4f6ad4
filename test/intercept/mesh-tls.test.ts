import assert from 'node:assert/strict'
import type http from 'node:http'
import { createServer } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { request } from 'undici'
import { type Runtime, systemClock } from '../../src/core/clock.ts'
import type { Identity } from '../../src/core/identity.ts'
import { createFetch } from '../../src/intercept/undici/fetch.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { agentEngine, send } from '../support/agent-engine.ts'
import type { CallWatch } from '../support/call-watch.ts'
import { type EngineOptions, engine, until } from '../support/engine.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import {
  grpcMeshed,
  identityOf,
  listening,
  meshed,
  serveMeshed,
  serveMeshedH2,
  serveWiretap,
  VOTING,
  WEB,
} from '../support/meshed.ts'
import { serve, serveTls, testCertificate } from '../support/servers.ts'

const MARKER = 'the-secret-of-the-doughnut'

interface Server {
  readonly port: number
  /** Connections that were ever accepted. */
  readonly accepted?: () => number
}

/** A way to call, and servers that understand it. Each call sends the marker there and back. */
interface Door {
  readonly name: string
  serve(t: TestContext, identity: Identity): Promise<Server>
  open(t: TestContext, options: Omit<EngineOptions, 'budget' | 'observer'>): { call: () => Promise<string>; watch: CallWatch }
}

const echo: http.RequestListener = (message, response) => {
  const chunks: Buffer[] = []
  message.on('data', (chunk: Buffer) => chunks.push(chunk))
  message.on('end', () => response.end(Buffer.concat(chunks)))
}

const DOORS: readonly Door[] = [
  {
    name: 'undici',
    serve: (t, identity) => serveMeshed(t, identity, echo),
    open(t, options) {
      const { dispatcher, watch } = engine(t, options)
      const call = async () => (await request('http://voting/', { dispatcher, method: 'POST', body: MARKER })).body.text()
      return { call, watch }
    },
  },
  {
    name: 'fetch',
    serve: (t, identity) => serveMeshed(t, identity, echo),
    open(t, options) {
      const { dispatcher, watch } = engine(t, options)
      const fetch = createFetch(dispatcher)
      return { call: async () => (await fetch('http://voting/', { method: 'POST', body: MARKER })).text(), watch }
    },
  },
  {
    name: 'undici over h2',
    serve: (t, identity) => serveMeshedH2(t, identity, echo),
    open(t, options) {
      const { dispatcher, watch } = engine(t, { ...options, protocol: 'h2c' })
      const call = async () => (await request('http://voting/', { dispatcher, method: 'POST', body: MARKER })).body.text()
      return { call, watch }
    },
  },
  {
    name: 'node:http',
    serve: (t, identity) => serveMeshed(t, identity, echo),
    open(t, options) {
      const { agent, watch } = agentEngine(t, options)
      return { call: async () => (await send(agent, { method: 'POST' }, MARKER)).body, watch }
    },
  },
  {
    name: 'grpc-js',
    serve: (t, identity) =>
      serveGrpc(t, {
        credentials: grpcMeshed(identity),
        handlers: {
          ask: ((call, callback) => callback(null, { body: call.request.body, server: '' })) as grpc.handleUnaryCall<
            { body: Buffer },
            object
          >,
        },
      }),
    open(t, options) {
      const { client, watch } = grpcEngine(t, options)
      const trial = client()
      const call = async () => {
        const { body } = await answer<{ body: Buffer }>((done) => trial.ask({ body: Buffer.from(MARKER) }, done as never))
        return body.toString()
      }
      return { call, watch }
    },
  },
]

const at = ({ port }: Server, identity?: string) => ({ host: '127.0.0.1', port, ...(identity === undefined ? {} : { identity }) })

for (const door of DOORS) {
  describe(`through ${door.name}`, () => {
    test('nothing of a call can be read on the wire', async (t) => {
      const server = await door.serve(t, identityOf(VOTING))
      const wire = await serveWiretap(t, server.port)
      const { call, watch } = door.open(t, { addresses: [at(wire, VOTING)], identity: meshed(t) })

      for (let i = 0; i < 3; i++) assert.equal(await call(), MARKER)

      const seen = wire.bytes()
      assert.ok(seen.length > 3_000)
      for (const word of [MARKER, 'voting', 'POST']) assert.ok(!seen.includes(word), word)
      assert.equal(watch.last.reason, 'ok')
    })

    test('a call is not sent to somebody else, but to another endpoint', async (t) => {
      const other = await door.serve(t, identityOf(WEB))
      const right = await door.serve(t, identityOf(VOTING))
      const mesh = meshed(t)
      const { call, watch } = door.open(t, { addresses: [at(other, VOTING), at(right, VOTING)], identity: mesh })

      assert.equal(await call(), MARKER)

      assert.deepEqual(watch.last.attempts, [
        { endpoint: `127.0.0.1:${other.port}`, number: 1, reason: 'connect_failed' },
        { endpoint: `127.0.0.1:${right.port}`, number: 2, reason: 'ok' },
      ])
      assert.deepEqual(mesh.results, ['not-allowed', 'ok'])
    })

    test('a call fails with what to do when no endpoint is the right one', async (t) => {
      const other = await door.serve(t, identityOf(WEB))
      const { call } = door.open(t, { addresses: [at(other, VOTING)], identity: meshed(t) })

      await assert.rejects(call(), (error: Error & { details?: string }) => {
        const { message } = (error.message === 'fetch failed' ? error.cause : error) as Error
        return message.includes(`of ${WEB}: is believed, and ${VOTING} was expected`) && message.includes('voting: ')
      })
    })

    test('a strict service is not called where nobody is known', async (t) => {
      const server = await door.serve(t, identityOf(VOTING))
      const { call, watch } = door.open(t, { addresses: [at(server)], identity: meshed(t, { strict: true }) })

      await assert.rejects(call(), (error: Error) => {
        const { message } = (error.message === 'fetch failed' ? error.cause : error) as Error
        return message.includes('has no identity and the service voting is strict')
      })
      assert.equal(watch.last.reason, 'connect_failed')
    })

    test('a handshake that is never answered ends after connectTimeoutMs', async (t) => {
      const silent = await listening(
        t,
        createServer((socket) => void socket.resume()),
      )
      const { call, watch } = door.open(t, { addresses: [at(silent, VOTING)], identity: meshed(t), connectTimeoutMs: 50 })

      await assert.rejects(call())

      assert.equal(watch.last.attempts[0]?.reason, 'connect_timeout')
    })

    test('new identities under load lose no call, and old connections go', async (t) => {
      const server = await door.serve(t, identityOf(VOTING))
      // no time is waited at random
      const runtime: Runtime = { clock: systemClock, random: () => 0, retryLoop: retryLoop(systemClock) }
      const mesh = meshed(t, { runtime })
      const { call, watch } = door.open(t, { addresses: [at(server, VOTING)], identity: mesh })
      let left = 400
      const caller = async () => {
        while (left-- > 0) {
          assert.equal(await call(), MARKER)
          if (left % 50 === 0) mesh.source.identity(identityOf(WEB))
        }
      }

      await Promise.all(Array.from({ length: 6 }, caller))

      assert.equal(watch.calls.length, 400)
      assert.deepEqual(new Set(watch.calls.map(({ reason }) => reason)), new Set(['ok']))
      assert.ok(mesh.results.length > 6, `${mesh.results.length} handshakes`)
      assert.deepEqual(new Set(mesh.results), new Set(['ok']))
    })
  })
}

test('a plaintext server at an address with an identity gets nothing, and the call goes elsewhere', async (t) => {
  let requests = 0
  const plain = await serve(t, (_request, response) => response.end(String(++requests)))
  const right = await serveMeshed(t, identityOf(VOTING), echo)
  const { dispatcher, watch } = engine(t, { addresses: [at(plain, VOTING), at(right, VOTING)], identity: meshed(t) })

  const { body } = await request('http://voting/', { dispatcher, method: 'POST', body: MARKER })

  assert.equal(await body.text(), MARKER)
  assert.equal(requests, 0)
  assert.deepEqual(
    watch.last.attempts.map(({ reason }) => reason),
    ['connect_failed', 'ok'],
  )
})

test('an endpoint without identity is called in the clear, side by side with others', async (t) => {
  const plain = await serve(t, echo)
  const right = await serveMeshed(t, identityOf(VOTING), echo)
  const mesh = meshed(t)
  const addresses = [at(plain), at(right, VOTING)]

  for (const order of [addresses, addresses.toReversed()]) {
    const { dispatcher } = engine(t, { addresses: order, identity: mesh })
    const { body } = await request('http://voting/', { dispatcher, method: 'POST', body: MARKER })
    assert.equal(await body.text(), MARKER)
  }
  assert.deepEqual(mesh.results, ['ok'])
})

test('a TLS server at an address without identity fails the call', async (t) => {
  const server = await serveMeshed(t, identityOf(VOTING), echo)
  const { dispatcher, watch } = engine(t, { addresses: [at(server)], identity: meshed(t) })

  await assert.rejects(request('http://voting/', { dispatcher, method: 'POST', body: MARKER }), /voting: 1 attempt failed/)

  assert.notEqual(watch.last.reason, 'ok')
})

test('a call under way is cut off when the identity it goes to is denied, and none follows', async (t) => {
  const held: (() => void)[] = []
  const server = await serveMeshed(t, identityOf(VOTING), (_request, response) => void held.push(() => response.end()))
  const revocations = new Revocations()
  const { dispatcher, watch } = engine(t, { addresses: [at(server, VOTING)], identity: meshed(t, { revocations }) })
  const options = { dispatcher, method: 'POST', body: MARKER } as const
  const failed = assert.rejects(request('http://voting/', options), /this identity is on the deny-list/)
  await until(() => held.length === 1)

  revocations.replace({ ids: [VOTING] })

  await failed
  assert.deepEqual(
    watch.last.attempts.map(({ reason }) => reason),
    ['reset'],
  )
  await assert.rejects(request('http://voting/', options), /this identity is on the deny-list/)
  assert.equal(watch.last.reason, 'connect_failed')
  assert.equal(held.length, 1)
})

describe("TLS of the application's own stays", () => {
  test('for https: through undici', async (t) => {
    const server = await serveTls(t, echo)
    const mesh = meshed(t)
    const tls = { ca: testCertificate.cert }
    const { dispatcher } = engine(t, { addresses: [at(server, VOTING)], identity: mesh, tls })

    const { body } = await request('https://voting/', { dispatcher, method: 'POST', body: MARKER })

    assert.equal(await body.text(), MARKER)
    assert.deepEqual(mesh.results, [])
  })

  test('for https: through node:http', async (t) => {
    const server = await serveTls(t, echo)
    const mesh = meshed(t)
    const tls = { ca: testCertificate.cert }
    const { agent } = agentEngine(t, { addresses: [at(server, VOTING)], identity: mesh, tls, secure: true })

    assert.equal((await send(agent, { method: 'POST' }, MARKER)).body, MARKER)
    assert.deepEqual(mesh.results, [])
  })

  test('for credentials that are secure, through grpc-js', async (t) => {
    const { cert, key } = testCertificate
    const credentials = grpc.ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }])
    const server = await serveGrpc(t, { credentials })
    const mesh = meshed(t)
    const { client } = grpcEngine(t, { addresses: [at(server, VOTING)], identity: mesh })
    const trial = client({ credentials: grpc.credentials.createSsl(Buffer.from(cert)) })

    await answer((done) => trial.ask({}, done))

    assert.deepEqual(mesh.results, [])
  })
})

test('clients of grpc-js share the connections of the mesh, also after a new identity', async (t) => {
  const server = await serveGrpc(t, { credentials: grpcMeshed(identityOf(VOTING)) })
  const runtime: Runtime = { clock: systemClock, random: () => 0, retryLoop: retryLoop(systemClock) }
  const mesh = meshed(t, { runtime })
  const { client } = grpcEngine(t, { addresses: [at(server, VOTING)], identity: mesh })
  const clients = [client(), client()]
  const askAll = () => Promise.all(clients.map((one) => answer((done) => one.ask({}, done))))

  await askAll()
  assert.deepEqual(mesh.results, ['ok'])
  mesh.source.identity(identityOf(WEB))
  await until(() => mesh.results.length === 2)
  await askAll()

  assert.deepEqual(mesh.results, ['ok', 'ok'])
})

test('a stream goes on over the connection it began on while identities change', async (t) => {
  const server = await serveGrpc(t, { credentials: grpcMeshed(identityOf(VOTING)) })
  const runtime: Runtime = { clock: systemClock, random: () => 0, retryLoop: retryLoop(systemClock) }
  const mesh = meshed(t, { runtime })
  const { client } = grpcEngine(t, { addresses: [at(server, VOTING)], identity: mesh })
  const call = client().converse()
  let answers = 0
  call.on('data', () => answers++)
  call.write({ answerBytes: 1 })
  await until(() => answers === 1)

  mesh.source.identity(identityOf(WEB))
  await until(() => mesh.results.length === 2)
  call.write({ answerBytes: 1 })
  await until(() => answers === 2)

  call.end()
  await new Promise((resolve) => call.on('status', resolve))
})
