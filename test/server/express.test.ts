import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { currentContext } from '../../src/core/request-context.ts'
import { inmeshExpress } from '../../src/server/express.ts'
import { readiness } from '../../src/server/health.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { serve } from '../support/servers.ts'
import { ask } from './support/ask.ts'
import { type ExpressApp, express } from './support/express.ts'
import { serving } from './support/serving.ts'

/** Names under which versions of Express are installed. */
const VERSIONS = ['express', 'express4']

for (const version of VERSIONS) {
  describe(version, () => {
    const make = express(version)

    function app(options: Parameters<typeof serving>[0] = {}): ReturnType<typeof serving> & { readonly app: ExpressApp } {
      const { mesh, seen } = serving(options)
      const made = make()
      made.use(inmeshExpress({ mesh }))
      return { mesh, seen, app: made }
    }

    test('gives its handlers the request, and every call its context', async (t) => {
      const { app: made, seen } = app()
      made.get('/api/:id', async (request, response) => {
        await turn()
        response.json([request.mesh === currentContext(), request.mesh.caller, request.mesh.clientAddress])
      })
      const { origin } = await serve(t, made)

      const { text } = await ask(t, `${origin}/api/42`, { headers: { 'x-envoy-downstream-service-cluster': 'web' } })

      assert.deepEqual(JSON.parse(text), [true, 'web', '127.0.0.1'])
      await seen.whenEnded(1)
      assert.deepEqual(seen.lines, ['started GET /api/42', 'ended 200 ok /api/:id'])
    })

    test('keeps the context through the parser of bodies', async (t) => {
      const { app: made } = app()
      made.use(make.json())
      made.post('/', async (request: never, response: never) => {
        const { mesh, body } = request as { mesh: unknown; body: unknown }
        await turn()
        ;(response as { json(value: unknown): void }).json([mesh === currentContext(), body])
      })
      const { origin } = await serve(t, made)

      const headers = { 'content-type': 'application/json' }
      const { text } = await ask(t, origin, { method: 'POST', headers, body: '{"a":1}' })

      assert.deepEqual(JSON.parse(text), [true, { a: 1 }])
    })

    test('does not mix up the contexts of requests at the same time', async (t) => {
      const { app: made } = app()
      made.get('/:turns', async (request, response) => {
        for (let turns = Number(request.params['turns']) % 7; turns > 0; turns--) await turn()
        response.send(`${currentContext()?.caller}`)
      })
      const { origin } = await serve(t, made)

      const callers = Array.from({ length: 40 }, (_, i) => `web-${i}`)
      const answers = await Promise.all(
        callers.map(async (caller, i) => {
          const { text } = await ask(t, `${origin}/${i}`, { headers: { 'x-envoy-downstream-service-cluster': caller } })
          return text
        }),
      )

      assert.deepEqual(answers, callers)
    })

    test('knows the template of a route in a router, also when its handler throws', async (t) => {
      const { app: made, seen } = app()
      const router = make.Router()
      router.get('/', (_request, response) => response.send('list'))
      router.get('/:id', (_request, response) => response.send('one'))
      router.get('/:id/broken', () => {
        throw new Error('no database')
      })
      made.use('/api/emoji', router)
      made.use((error: Error, _request: unknown, response: never, _next: unknown) =>
        (response as { status(code: number): { send(text: string): void } }).status(500).send(error.message),
      )
      const { origin } = await serve(t, made)

      for (const path of ['/api/emoji', '/api/emoji/7', '/api/emoji/7/broken', '/nowhere']) await ask(t, origin + path)
      await seen.whenEnded(4)

      assert.deepEqual(seen.endings, [
        'ended 200 ok /api/emoji',
        'ended 200 ok /api/emoji/:id',
        'ended 500 error_status /api/emoji/:id/broken',
        'ended 404 ok',
      ])
    })

    test('bounds how many mount paths become templates', async (t) => {
      const { app: made, seen } = app()
      const router = make.Router()
      router.get('/votes', (_request, response) => response.send('ok'))
      made.use('/users/:id', router)
      const { origin } = await serve(t, made)

      for (let i = 0; i < 110; i++) await ask(t, `${origin}/users/${i}/votes`)
      await seen.whenEnded(110)

      assert.equal(new Set(seen.endings).size, 101)
      assert.equal(seen.endings.at(-1), 'ended 200 ok /*/votes')
    })

    test('leaves the route to those who read it', async (t) => {
      const { app: made } = app()
      made.get('/api/:id', (request, response) =>
        response.send(`${(request as unknown as { route: { path: string } }).route.path}`),
      )
      const { origin } = await serve(t, made)

      assert.equal((await ask(t, `${origin}/api/42`)).text, '/api/:id')
    })

    test('serves others while a handler fails', async (t) => {
      const { app: made, seen } = app()
      made.get('/bad', () => {
        throw new Error('no database')
      })
      made.get('/well', (_request, response) => response.send('well'))
      made.use((_error: Error, _request: unknown, response: never, _next: unknown) =>
        (response as { status(code: number): { send(text: string): void } }).status(500).send('bad'),
      )
      const { origin } = await serve(t, made)

      assert.deepEqual([(await ask(t, `${origin}/bad`)).status, (await ask(t, `${origin}/well`)).text], [500, 'well'])
      await seen.whenEnded(2)
    })

    test('refuses before any handler', async (t) => {
      const { app: made, mesh } = app({ admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] })
      const finish: (() => void)[] = []
      made.get('/', (_request, response) => void finish.push(() => response.send('served')))
      made.get('/ready', readiness(mesh) as never)
      const { origin } = await serve(t, made)
      const first = ask(t, origin)
      while (finish.length === 0) await turn()

      const second = await ask(t, origin)
      const ready = await ask(t, `${origin}/ready`)
      for (const end of finish) end()

      assert.deepEqual([second.status, second.headers['x-envoy-overloaded']], [503, 'true'])
      assert.deepEqual([ready.status, ready.text], [200, 'ready'])
      assert.equal((await first).text, 'served')
    })

    test('is counted once within a wrapped listener', async (t) => {
      const { app: made, mesh, seen } = app()
      made.get('/api/:id', (request, response) => response.send(request.mesh.route))
      const { origin } = await serve(t, inmeshHttp({ mesh }, made as never))

      assert.equal((await ask(t, `${origin}/api/42`)).text, '/api/:id')
      await seen.whenEnded(1)

      assert.deepEqual(seen.lines, ['started GET /api/42', 'ended 200 ok /api/:id'])
    })
  })
}
