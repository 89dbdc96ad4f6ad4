import assert from 'node:assert/strict'
import type http from 'node:http'
import { describe, test } from 'node:test'
import Fastify from 'fastify'
import { currentContext } from '../../src/core/request-context.ts'
import { inmeshFastify } from '../../src/server/fastify.ts'
import { eachHttp2Server } from '../../src/server/grpc-inside.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { answer } from '../support/grpc-engine.ts'
import { cleanup, serve } from '../support/servers.ts'
import { serveGrpc } from './support/grpc-serving.ts'
import { rawClient } from './support/raw-client.ts'
import { serving } from './support/serving.ts'

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`
const post = (path: string) => `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi`

/** Serves `/meshed` through a mesh and everything else without, and says of everything else which context it ran in. */
function halfMeshed() {
  const { mesh, seen } = serving()
  const contexts: unknown[] = []
  const meshed = inmeshHttp({ mesh }, ({ mesh: inbound }, response) => {
    assert.equal(currentContext(), inbound)
    response.end('meshed.')
  })
  const listener: http.RequestListener = (request, response) => {
    if (request.url === '/meshed') return meshed(request, response)
    contexts.push(currentContext())
    response.end('plain.')
  }
  return { listener, contexts, seen }
}

describe('a context ends with the request', () => {
  for (const [how, meshed] of [
    ['without a body', get('/meshed')],
    ['with a body', post('/meshed')],
  ] as const) {
    test(`${how}, when the next one comes on the same connection`, async (t) => {
      const { listener, contexts } = halfMeshed()
      const { port } = await serve(t, listener)
      const client = await rawClient(t, port, meshed)
      await client.got(/meshed\./)

      client.socket.write(get('/plain'))
      await client.got(/plain\./)

      assert.deepEqual(contexts, [undefined])
    })

    test(`${how}, when the next one came in the same packet`, async (t) => {
      const { listener, contexts } = halfMeshed()
      const { port } = await serve(t, listener)

      const client = await rawClient(t, port, meshed + get('/plain') + meshed + get('/plain'))
      await client.got(/meshed\.[\s\S]*plain\.[\s\S]*meshed\.[\s\S]*plain\./)

      assert.deepEqual(contexts, [undefined, undefined])
    })
  }

  test('for whoever kept it and hands it over later', async (t) => {
    const { listener } = halfMeshed()
    const contexts: unknown[] = []
    const { port } = await serve(t, (request, response) =>
      setImmediate(() => {
        listener(request, response)
        contexts.push(currentContext())
      }),
    )

    const client = await rawClient(t, port, get('/meshed'))
    await client.got(/meshed\./)
    client.socket.write(post('/meshed'))
    await client.got(/meshed\.[\s\S]*meshed\./)

    assert.deepEqual(contexts, [undefined, undefined])
  })

  test('for whoever makes one up', async (t) => {
    const { mesh } = serving()
    const app = Fastify()
    cleanup(t, () => app.close())
    app.register(inmeshFastify, { mesh })
    app.get('/', (request) => String(currentContext() === request.mesh))
    await app.ready()

    const answered = app.inject('/')
    const after = currentContext()

    assert.equal((await answered).body, 'true')
    assert.deepEqual([after, currentContext()], [undefined, undefined])
  })

  test('when it is a call of gRPC and the next one comes on the same connection', async (t) => {
    const contexts: unknown[] = []
    const { client, server } = await serveGrpc(t)
    eachHttp2Server(server, (http2Server) => http2Server.on('stream', () => contexts.push(currentContext())))

    await answer((done) => client.ask({}, done))
    await answer((done) => client.ask({}, done))

    assert.deepEqual(contexts, [undefined, undefined])
  })
})
