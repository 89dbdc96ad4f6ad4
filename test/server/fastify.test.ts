import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { currentContext } from '../../src/core/request-context.ts'
import { inmeshFastify } from '../../src/server/fastify.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { cleanup } from '../support/servers.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { ask } from './support/ask.ts'
import { serving } from './support/serving.ts'

function served(options: Parameters<typeof serving>[0] = {}, parts: Parameters<typeof serving>[1] = {}) {
  const { mesh, seen } = serving(options, parts)
  const app = Fastify()
  app.register(inmeshFastify, { mesh })
  return { mesh, seen, app }
}

async function listening(t: TestContext, app: FastifyInstance): Promise<string> {
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  cleanup(t, () => app.close())
  return origin
}

test('gives its handlers the request, and every call its context', async (t) => {
  const { app, seen } = served()
  app.get('/api/:id', async (request) => {
    await turn()
    return [request.mesh === currentContext(), request.mesh.caller, request.mesh.clientAddress, request.mesh.route]
  })
  const origin = await listening(t, app)

  const { text } = await ask(t, `${origin}/api/42`, { headers: { 'x-envoy-downstream-service-cluster': 'web' } })

  assert.deepEqual(JSON.parse(text), [true, 'web', '127.0.0.1', '/api/:id'])
  await seen.whenEnded(1)
  assert.deepEqual(seen.lines, ['started GET /api/42', 'ended 200 ok /api/:id'])
})

test('keeps the context through the parser of bodies and the hooks of others', async (t) => {
  const { app } = served()
  const contexts: boolean[] = []
  app.addHook('onRequest', async (request) => void contexts.push(request.mesh === currentContext()))
  app.addHook('preHandler', async (request) => void contexts.push(request.mesh === currentContext()))
  app.post('/', async (request) => {
    await turn()
    return [...contexts, request.mesh === currentContext(), request.body]
  })
  const origin = await listening(t, app)

  const headers = { 'content-type': 'application/json' }
  const { text } = await ask(t, origin, { method: 'POST', headers, body: JSON.stringify({ a: 'x'.repeat(200_000) }) })

  assert.deepEqual(JSON.parse(text), [true, true, true, { a: 'x'.repeat(200_000) }])
})

test('does not mix up the contexts of requests at the same time', async (t) => {
  const { app } = served()
  app.get<{ Params: { turns: string } }>('/:turns', async (request) => {
    for (let turns = Number(request.params.turns) % 7; turns > 0; turns--) await turn()
    return `${currentContext()?.caller}`
  })
  const origin = await listening(t, app)

  const callers = Array.from({ length: 40 }, (_, i) => `web-${i}`)
  const answers = await Promise.all(
    callers.map(async (caller, i) => {
      const { text } = await ask(t, `${origin}/${i}`, { headers: { 'x-envoy-downstream-service-cluster': caller } })
      return text
    }),
  )

  assert.deepEqual(answers, callers)
})

test('holds for plugins that are registered in the same instance', async (t) => {
  const { app, seen } = served()
  app.register(async (inner) => inner.get('/one', async (request) => request.mesh.route), { prefix: '/inner' })
  const origin = await listening(t, app)

  assert.equal((await ask(t, `${origin}/inner/one`)).text, '/inner/one')
  await ask(t, `${origin}/nowhere`)
  await seen.whenEnded(2)

  assert.deepEqual(seen.endings, ['ended 200 ok /inner/one', 'ended 404 ok'])
})

test('is for one instance only when it is registered there', async (t) => {
  const { mesh, seen } = serving()
  const app = Fastify()
  app.register(async (inner) => {
    inner.register(inmeshFastify, { mesh })
    inner.get('/inside', async (request) => request.mesh.route)
  })
  app.get('/outside', async (request) => String(request.mesh))
  const origin = await listening(t, app)

  assert.equal((await ask(t, `${origin}/inside`)).text, '/inside')
  assert.equal((await ask(t, `${origin}/outside`)).text, 'undefined')
  await seen.whenEnded(1)

  assert.deepEqual(seen.lines, ['started GET /inside', 'ended 200 ok /inside'])
})

test('serves others while a handler fails', async (t) => {
  const { app, seen } = served()
  app.get('/bad', async () => {
    throw new Error('no database')
  })
  app.get('/well', async () => 'well')
  const origin = await listening(t, app)

  assert.equal((await ask(t, `${origin}/bad`)).status, 500)
  assert.equal((await ask(t, `${origin}/well`)).text, 'well')
  await seen.whenEnded(2)

  assert.deepEqual(seen.endings, ['ended 500 error_status /bad', 'ended 200 ok /well'])
})

test('serves a request without a socket', async () => {
  const { app, seen } = served()
  app.get('/', async (request) => request.mesh.clientAddress)

  const { payload } = await app.inject('/')

  assert.equal(payload, '127.0.0.1')
  assert.equal(seen.lines[0], 'started GET /')
  assert.equal(currentContext(), undefined)
  await app.close()
})

describe('a request that is refused', () => {
  test('never reaches its handler', async (t) => {
    const { app, seen } = served({ admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] })
    const finish: (() => void)[] = []
    app.get('/', (_request, reply) => void finish.push(() => reply.send('served')))
    const origin = await listening(t, app)
    const first = ask(t, origin)
    while (finish.length === 0) await turn()

    const second = await ask(t, origin)
    for (const end of finish) end()

    assert.deepEqual(
      [second.status, second.text, second.headers['x-envoy-overloaded'], second.headers['retry-after']],
      [503, 'overloaded', 'true', '1'],
    )
    assert.equal((await first).text, 'served')
    await seen.whenEnded(2)
    assert.deepEqual(seen.endings, ['ended 503 overloaded /', 'ended 200 ok /'])
  })

  test('for a deadline that passed while its body came gets 504', async (t) => {
    const runtime = virtualRuntime()
    const { app } = served({ enforceDeadlines: true }, { runtime })
    app.addHook('preParsing', async () => runtime.clock.advance(60))
    app.post('/', async () => assert.fail('the handler ran'))
    const origin = await listening(t, app)

    const headers = { 'x-envoy-expected-rq-timeout-ms': '50', 'content-type': 'application/json' }
    const { status, text } = await ask(t, origin, { method: 'POST', headers, body: '{}' })

    assert.deepEqual([status, text], [504, 'deadline_passed'])
  })
})

test('is marked as fastify-plugin marks a plugin', () => {
  const marked = fastifyPlugin(() => {}, { name: 'inmesh', fastify: '5.x' })
  const marks = (plugin: object) =>
    Object.getOwnPropertySymbols(plugin).map((symbol) => [symbol, (plugin as Record<symbol, unknown>)[symbol]])

  assert.deepEqual(marks(inmeshFastify), marks(marked))
})
