import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, test } from 'node:test'
import { createMesh } from '../../src/index.ts'
import { ask } from '../server/support/ask.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { cleanup, serve } from '../support/servers.ts'
import { Application } from './support/application.ts'

ownRuntimeDirectory()

describe('an application that knows nothing of the mesh', () => {
  test('has each request of its node:http server received, and finds what the mesh knows of it', async (t) => {
    const app = new Application(t, 'http.mjs')
    const origin = `http://127.0.0.1:${await app.told<number>()}`

    const answer = await ask(t, origin, { headers: { 'x-envoy-downstream-service-cluster': 'web' } })
    const body = await ask(t, `${origin}/body`, { method: 'POST', body: 'twelve bytes' })

    assert.equal(answer.text, 'object web')
    assert.equal(body.text, '12 true')
    assert.match(String(answer.headers['endpoint-load-metrics']), /^TEXT /)
    assert.deepEqual(await app.served(2), { '': 2 })
    assert.equal(app.said, '')
  })

  test("hands its caller's deadline on to what it calls while serving, in CommonJS and from a class of its own", async (t) => {
    const { server } = await serve(t, (request, response) => response.end(request.headers['x-envoy-expected-rq-timeout-ms']))
    const mesh = createMesh()
    cleanup(t, () => mesh.close())
    mesh.announce(server, { service: 'voting' })
    const app = new Application(t, 'http.cjs')
    const origin = `http://127.0.0.1:${await app.told<number>()}`

    const own = await ask(t, origin)
    const headers = { 'x-envoy-expected-rq-timeout-ms': '20000', 'x-next': 'http://voting/' }
    const left = Number((await ask(t, origin, { headers })).text)

    assert.equal(own.text, 'object')
    assert.ok(left > 0 && left <= 20_000, `${left} ms`)
    assert.deepEqual(await app.served(2), { '': 2 })
  })

  test('has its servers of https and http2 received, too, whichever version of HTTP is spoken', async (t) => {
    const app = new Application(t, 'encrypted.mjs')
    const ports = await app.told<{ https: number; h2: number; h2c: number }>()

    assert.equal((await ask(t, `https://127.0.0.1:${ports.https}/`)).text, '1.1 object')
    assert.equal((await ask(t, `https://127.0.0.1:${ports.h2}/`)).text, '2.0 object')
    assert.equal(await askH2c(ports.h2c), '2.0 object')
    assert.deepEqual(await app.served(3), { '': 3 })
  })

  for (const value of ['null', '"blue"', '{"nodes":3}']) {
    test(`may call something of its own request.mesh: ${value}`, async (t) => {
      const app = new Application(t, 'own-mesh.mjs')
      const origin = `http://127.0.0.1:${await app.told<number>()}`

      const answer = await ask(t, origin, {
        method: 'POST',
        body: value,
        headers: { 'x-mesh': value, 'x-envoy-downstream-service-cluster': 'web' },
      })

      assert.equal(answer.text, `${value} web`)
      assert.deepEqual(await app.served(1), { '': 1 })
      assert.equal(app.said, '')
    })
  }

  test('takes upgrades as ever', async (t) => {
    const app = new Application(t, 'http.mjs')
    const socket = connect(await app.told<number>(), '127.0.0.1')

    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: own\r\n\r\n')
    const answer = Buffer.concat(await socket.toArray()).toString()

    assert.match(answer, /^HTTP\/1.1 101 .*\r\n\r\nundefined$/s)
    assert.deepEqual((await app.stats()).inbound, [])
  })

  test('has them received once where another tool stood before its servers first', async (t) => {
    const app = new Application(t, 'http.mjs', {}, [new URL('./support/earlier-tool.mjs', import.meta.url).href])
    const origin = `http://127.0.0.1:${await app.told<number>()}`

    assert.match((await ask(t, origin)).text, /^object/)
    assert.deepEqual(await app.served(1), { '': 1 })
    assert.equal(app.said, 'seen by the tool\n')
  })

  test('gets what it emits itself as a request, though nobody could receive it, with one warning', async (t) => {
    const app = new Application(t, 'odd-request.mjs')

    assert.deepEqual(await app.told(), { requests: 2, returned: true })
    assert.equal((await app.stats()).inbound.length, 0)
    assert.equal(app.said.match(/MeshWarning: requests are not received by the mesh: /g)?.length, 1)
  })

  for (const [door, timeLeft] of [['fetch'], ['axios'], ['got'], ['http'], ['fetch', '50']] as const) {
    test(`does not end by a caller ${timeLeft ? 'without time' : 'who leaves'}, though it does not catch that ${door} fails`, async (t) => {
      const asked = Promise.withResolvers<void>()
      const { server } = await serve(t, () => asked.resolve())
      const mesh = createMesh()
      cleanup(t, () => mesh.close())
      mesh.announce(server, { service: 'voting' })
      const app = new Application(t, 'careless.mjs')
      const port = await app.told<number>()

      const caller = connect(port, '127.0.0.1')
      const header = timeLeft === undefined ? '' : `x-envoy-expected-rq-timeout-ms: ${timeLeft}\r\n`
      caller.write(`GET /${door} HTTP/1.1\r\nhost: a\r\n${header}\r\n`)
      if (timeLeft === undefined) {
        await asked.promise
        caller.destroy()
      }
      await app.says(/MeshWarning: a request was given up with its caller, and its handler does not catch that: /)
      const later = await ask(t, `http://127.0.0.1:${port}/alive`)
      caller.destroy()

      assert.equal(later.text, 'alive')
    })
  }

  test('ends by any other error of its own that it does not catch', async (t) => {
    const app = new Application(t, 'careless.mjs')
    const ended = app.ended()
    const port = await app.told<number>()

    await assert.rejects(ask(t, `http://127.0.0.1:${port}/other`))

    assert.equal(await ended, 1)
    assert.match(app.said, /Error: an error of its own/)
  })

  for (const path of ['/throw', '/reject']) {
    test(`ends by what its handler does not catch, as without the mesh: ${path}`, async (t) => {
      const app = new Application(t, 'http.mjs')
      const ended = app.ended()
      const port = await app.told<number>()

      await assert.rejects(ask(t, `http://127.0.0.1:${port}${path}`))

      assert.equal(await ended, 1)
      assert.match(app.said, /Error: (thrown|rejected)/)
    })
  }
})

describe('an application that does by itself what is injected', () => {
  test('has its requests counted once, with their routes, and keeps what it was promised', async (t) => {
    const app = new Application(t, 'explicit.mjs')
    const ports = await app.told<{ express: number; fastify: number; http: number }>()

    assert.equal((await ask(t, `http://127.0.0.1:${ports.express}/express/1`)).text, '/express/:id')
    assert.equal((await ask(t, `http://127.0.0.1:${ports.fastify}/fastify/1`)).text, '/fastify/:id')
    assert.equal((await ask(t, `http://127.0.0.1:${ports.http}/`)).status, 500)
    assert.deepEqual(await app.served(3), { '/express/:id': 1, '/fastify/:id': 1, '': 1 })
  })

  test('has them received by the mesh that it made, too, and bounded by its limits', async (t) => {
    const app = new Application(t, 'explicit.mjs')
    const { own } = await app.told<{ own: number }>()

    const first = await ask(t, `http://127.0.0.1:${own}/`)
    const second = await ask(t, `http://127.0.0.1:${own}/`)

    assert.deepEqual([first.status, second.status], [200, 429])
    assert.deepEqual(await app.served(2), { '': 2 })
    const told = app.told<number>()
    app.process.send('own')
    assert.equal(await told, 2)
  })
})

async function askH2c(port: number): Promise<string> {
  const { connect: connectH2 } = await import('node:http2')
  const session = connectH2(`http://127.0.0.1:${port}`)
  const stream = session.request({ ':path': '/' })
  const text = Buffer.concat(await stream.toArray()).toString()
  session.close()
  await once(session, 'close')
  return text
}
