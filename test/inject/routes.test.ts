import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RouteWatch } from '../../src/server/express.ts'
import { ask } from '../server/support/ask.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { Application } from './support/application.ts'

ownRuntimeDirectory()

describe('the route of a request, in an application that knows nothing of the mesh, is told by', () => {
  for (const [framework, file, status] of [
    ['Express 5, imported', 'express.mjs', 500],
    ['Express 4, required', 'express4.cjs', 500],
    ['Fastify, imported', 'fastify.mjs', 400],
    ['Fastify, required', 'fastify.cjs', 400],
  ] as const) {
    test(framework, async (t) => {
      const app = new Application(t, file)
      const origin = `http://127.0.0.1:${await app.told<number>()}`

      const found = await ask(t, `${origin}/api/users/7`)
      const failed = await ask(t, `${origin}/api/fails`)
      const missing = await ask(t, `${origin}/nowhere`)

      assert.equal(found.text, '7 object')
      assert.deepEqual([failed.status, missing.status], [status, 404])
      assert.deepEqual(await app.served(3), { '/api/users/:id': 1, '/api/fails': 1, '': 1 })
      assert.equal(app.said, '')
    })
  }
})

test('leaves the route to the request as its own', () => {
  const prototype = {}
  new RouteWatch().watchAll(prototype)
  const request = Object.create(prototype) as { route?: object }

  assert.equal(request.route, undefined)
  for (const route of [{ path: '/a' }, { path: '/b' }]) {
    request.route = route

    assert.equal(request.route, route)
    assert.deepEqual(Object.keys(request), ['route'])
  }
})
