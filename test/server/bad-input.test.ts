import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import Fastify from 'fastify'
import type { Inbound } from '../../src/core/inbound.ts'
import { inmeshExpress } from '../../src/server/express.ts'
import { inmeshFastify } from '../../src/server/fastify.ts'
import { rateLimit } from '../../src/server/limits/rate-limit.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { cleanup, serve, type TestServer } from '../support/servers.ts'
import { ask } from './support/ask.ts'
import { express } from './support/express.ts'
import { rawClient } from './support/raw-client.ts'
import { type SmallServing, serving } from './support/serving.ts'

/** What each framework serves: `/well` answers, `/body` answers once it has the body, `/large` answers with much, `/never` does not answer. */
const ANSWERS: Readonly<Record<string, (inbound: Inbound, response: ServerResponse) => void>> = {
  '/well': (inbound, response) => void response.end(`${inbound.remainingMs} ${inbound.attempt} ${inbound.caller}`),
  '/large': (_inbound, response) => void response.end(Buffer.alloc(64_000_000)),
  '/never': () => {},
}

const FRAMEWORKS: Readonly<Record<string, (t: TestContext, at: SmallServing) => Promise<Pick<TestServer, 'origin' | 'port'>>>> = {
  'node:http': (t, { mesh }) =>
    serve(
      t,
      inmeshHttp({ mesh }, (request, response) => {
        if (request.url === '/body') request.resume().on('end', () => response.end('read'))
        else ANSWERS[request.url ?? '']?.(request.mesh, response)
      }),
    ),
  express: (t, at) => startExpress('express', t, at),
  express4: (t, at) => startExpress('express4', t, at),
  fastify: async (t, { mesh }) => {
    const app = Fastify()
    app.register(inmeshFastify, { mesh })
    app.post('/body', async () => 'read')
    for (const [path, answer] of Object.entries(ANSWERS)) {
      app.get(path, (request, reply) => {
        reply.hijack()
        answer(request.mesh, reply.raw)
      })
    }
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    cleanup(t, () => {
      app.server.closeAllConnections()
      return app.close()
    })
    return { origin, port: Number(new URL(origin).port) }
  },
}

function startExpress(version: string, t: TestContext, { mesh }: SmallServing): Promise<TestServer> {
  const make = express(version)
  const app = make().use(inmeshExpress({ mesh }), make.json())
  app.post('/body', (_request: unknown, response: ServerResponse) => response.end('read'))
  for (const [path, answer] of Object.entries(ANSWERS)) app.get(path, (request, response) => answer(request.mesh, response))
  // Express's own handler of errors prints them
  app.use((_error: Error, _request: unknown, response: ServerResponse, _next: unknown) => response.destroy())
  return serve(t, app as never)
}

for (const [name, start] of Object.entries(FRAMEWORKS)) {
  describe(`${name}, meshed`, () => {
    test('serves others while a client sends half a body, and forgets it when it leaves', async (t) => {
      const at = serving()
      const { origin, port } = await start(t, at)
      const head = 'POST /body HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n'
      const client = await rawClient(t, port, `${head}{"half":`)
      while (at.seen.inbounds.length === 0) await turn()
      const signal = at.seen.inbounds[0]?.signal

      assert.equal((await ask(t, `${origin}/well`)).status, 200)
      client.socket.destroy()
      await at.seen.whenEnded(2)

      assert.equal(signal?.aborted, true)
      assert.match(at.seen.endings[1] ?? '', /cancelled/)
      assert.equal(at.mesh.inbound.inFlight, 0)
    })

    test('serves others while a client never reads, and forgets it when it leaves', async (t) => {
      const at = serving()
      const { origin, port } = await start(t, at)
      const client = await rawClient(t, port)
      client.socket.pause()
      client.socket.write('GET /large HTTP/1.1\r\nhost: a\r\n\r\n')
      while (at.seen.inbounds.length === 0) await turn()

      assert.equal((await ask(t, `${origin}/well`)).status, 200)
      assert.equal(at.mesh.inbound.inFlight, 1)
      client.socket.destroy()
      await at.seen.whenEnded(2)

      assert.match(at.seen.endings[1] ?? '', /cancelled/)
      assert.equal(at.mesh.inbound.inFlight, 0)
    })

    test('serves others while a handler never answers, and forgets it when its caller leaves', async (t) => {
      const at = serving()
      const { origin, port } = await start(t, at)
      const client = await rawClient(t, port, 'GET /never HTTP/1.1\r\nhost: a\r\n\r\n')
      while (at.seen.inbounds.length === 0) await turn()

      assert.equal((await ask(t, `${origin}/well`)).status, 200)
      client.socket.end()
      await at.seen.whenEnded(2)

      assert.match(at.seen.endings[1] ?? '', /cancelled/)
    })

    test('keeps nothing for idle connections', async (t) => {
      const at = serving()
      const { origin, port } = await start(t, at)
      const clients = await Promise.all(Array.from({ length: 200 }, () => rawClient(t, port)))

      assert.equal((await ask(t, `${origin}/well`)).status, 200)

      assert.equal(at.seen.inbounds.length, 1)
      for (const client of clients) client.socket.destroy()
    })

    test('is not impressed by hostile headers', async (t) => {
      const at = serving({ enforceDeadlines: true, trustedProxies: ['127.0.0.1'] })
      const { port } = await start(t, at)
      const ask = async (headers: string) => {
        const client = await rawClient(t, port, `GET /well HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${headers}\r\n`)
        await client.closed
        return client.text().slice(-40).split('\r\n').at(-1)
      }
      const many = (line: string) => `${line}\r\n`.repeat(300)

      assert.equal(await ask('x-envoy-expected-rq-timeout-ms: -1\r\n'), 'Infinity 1 ')
      assert.equal(await ask('x-envoy-expected-rq-timeout-ms: soon\r\n'), 'Infinity 1 ')
      assert.equal(await ask('grpc-timeout: 99999999999S\r\n'), 'Infinity 1 ')
      assert.equal(await ask(many('x-envoy-attempt-count: 7')), 'Infinity 1 ')
      assert.equal(await ask(many('x-envoy-expected-rq-timeout-ms: 0')), 'Infinity 1 ')
      assert.equal(await ask(`x-envoy-downstream-service-cluster: ${'x'.repeat(5_000)}\r\n`), 'Infinity 1 ')
      assert.equal(await ask(`x-forwarded-for: ${'1.2.3.4,'.repeat(1_000)}\r\n`), 'Infinity 1 ')
      const left = Number((await ask('x-envoy-expected-rq-timeout-ms: 1000000000000\r\n'))?.split(' ')[0])
      assert.ok(left > 2_147_000_000 && left <= 2_147_483_647, `${left}`)
    })
  })
}

test('what is remembered does not grow with the number of requests', async (t) => {
  const { mesh, seen } = serving({
    admissions: [rateLimit({ perSecond: 1e6, maxClients: 100, client: (inbound) => inbound.path })],
    loadReports: true,
  })
  const served: WeakRef<Inbound>[] = []
  const { origin } = await serve(
    t,
    inmeshHttp({ mesh }, ({ mesh: inbound }, response) => {
      served.push(new WeakRef(inbound))
      void inbound.signal
      inbound.onLeave(() => {})
      response.end()
    }),
  )

  for (let i = 0; i < 300; i++) await ask(t, `${origin}/${i}`, { headers: { 'x-envoy-expected-rq-timeout-ms': '100000' } })
  await seen.whenEnded(300)
  seen.inbounds.length = 0
  await turn()
  collectGarbage()

  assert.equal(mesh.inbound.inFlight, 0)
  // the last few hang on to the connection that brought them
  const alive = served.filter((one) => one.deref() !== undefined).length
  assert.ok(alive < 10, `${alive} of ${served.length} requests are still in memory`)
})

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  gc()
}
