import assert from 'node:assert/strict'
import http, { type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import Fastify, { type FastifyServerOptions } from 'fastify'
import type { AuthorizationOptions } from '../../../src/server/authorization/authorization-options.ts'
import { inmeshExpress } from '../../../src/server/express.ts'
import { inmeshFastify } from '../../../src/server/fastify.ts'
import { inmeshHttp } from '../../../src/server/node-http.ts'
import type { ServingMesh } from '../../../src/server/reception.ts'
import { cleanup } from '../../support/servers.ts'
import { ask } from '../support/ask.ts'
import { express } from '../support/express.ts'
import { matching } from '../support/matching.ts'
import { rawClient } from '../support/raw-client.ts'
import { serving } from '../support/serving.ts'

const ADMIN = 'spiffe://td/ns/prod/sa/admin'
const POLICY: AuthorizationOptions = {
  rules: [{ name: 'admins-only', matches: [{ path: { value: '/admin' } }], allow: [{ identities: [ADMIN] }] }],
}

/** A server that answers `/admin`, however its framework reads paths, with what `admin` says, and everything else with `-`. */
type Make = (mesh: ServingMesh, admin: () => string) => Promise<RequestListener>

const expressApp =
  (version: string): Make =>
  async (mesh, admin) => {
    const app = express(version)()
    app.use(inmeshExpress({ mesh }))
    app.get('/admin', (_request, response) => response.send(admin()))
    app.use('/admin', (_request: unknown, response: { send(text: string): void }) => response.send(admin()))
    app.use((_request: unknown, response: { send(text: string): void }) => response.send('-'))
    return app
  }

const fastifyApp =
  (routerOptions: FastifyServerOptions['routerOptions']): Make =>
  async (mesh, admin) => {
    const app = Fastify({ routerOptions: routerOptions ?? {} })
    app.register(inmeshFastify, { mesh })
    app.get('/admin', async () => admin())
    app.get('/admin/*', async () => admin())
    app.setNotFoundHandler((_request, reply) => void reply.send('-'))
    await app.ready()
    return (request, response) => app.routing(request, response)
  }

const nodeApp =
  (pathOf: (target: string) => string | undefined): Make =>
  async (mesh, admin) =>
    inmeshHttp({ mesh }, (request, response) => {
      const isAdmin = /^\/admin(\/|$)/.test(pathOf(request.url ?? '') ?? '')
      response.end(isAdmin ? admin() : '-')
    })

const SERVERS: Readonly<Record<string, Make>> = {
  'Express 5': expressApp('express'),
  'Express 4': expressApp('express4'),
  Fastify: fastifyApp({}),
  'Fastify at its most lenient': fastifyApp({
    caseSensitive: false,
    ignoreDuplicateSlashes: true,
    ignoreTrailingSlash: true,
    // its types don't know it
    ...{ useSemicolonDelimiter: true },
  }),
  'node:http': nodeApp((target) => target.split('?', 1)[0]),
  'node:http that reads targets as URLs': nodeApp((target) => URL.parse(target, 'http://server')?.pathname),
}

async function listening(t: TestContext, make: Make) {
  let identity: string | undefined
  const { mesh, seen } = serving({ authorization: POLICY }, { matching, identityOf: () => identity })
  const reached = { times: 0 }
  const admin = () => {
    reached.times++
    return 'ADMIN'
  }
  const server = http.createServer(await make(mesh, admin)).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  cleanup(t, () => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  const { port } = server.address() as AddressInfo
  return { port, origin: `http://127.0.0.1:${port}`, seen, reached, as: (who: string | undefined) => (identity = who) }
}

/** Ways to write `/admin`, or what may be taken for it. */
const TARGETS = [
  ...['/admin', '/admin?x', '/ADMIN', '/admin/', '/Admin/x', '//admin', '///admin', '/./admin', '/x/../admin', '/admin/../admin'],
  ...[
    '/%61dmin',
    '/%41dmin',
    '/%2e/admin',
    '/x/%2e%2e/admin',
    '/x/.%2E/admin',
    '/x%2f..%2fadmin',
    '/%2fadmin',
    '/admin%2f',
    '/admin%2Fx',
  ],
  ...[
    '/admin#x',
    '/admin;x',
    '/admin;/x',
    '/\\admin',
    '/x\\..\\admin',
    '/admin\\x',
    '/admin%5cx',
    'http://h/admin',
    'HTTP://h/Admin',
  ],
  ...[
    'http://h//admin',
    'http://h/x/../admin',
    'http://h/%61dmin',
    '//h/admin',
    '/admin%00',
    '/admin%zz',
    '/admin//',
    '/admin%3Fx',
    '/admin%23',
  ],
]

const PIECES = ['/', '//', '.', '..', 'admin', 'Admin', 'x', '%2e', '%2F', '%61dmin', '%5c', '\\', ';', '?', '#', '%', '%00']
const written: fc.Arbitrary<string> = fc
  .tuple(fc.constantFrom('/', '/admin', '/x/', 'http://h/', '//h/', ''), fc.array(fc.constantFrom(...PIECES), { maxLength: 6 }))
  .map(([start, pieces]) => start + pieces.join(''))

for (const [name, make] of Object.entries(SERVERS)) {
  describe(name, () => {
    test('answers a stranger 403 before the handler, without a word of why', async (t) => {
      t.mock.method(process, 'emitWarning', () => {})
      const { origin, seen } = await listening(t, make)

      const refused = await ask(t, `${origin}/admin`)
      const served = await ask(t, `${origin}/other`)
      await seen.whenEnded(2)

      assert.deepEqual([refused.status, refused.text, served.text], [403, 'unauthorized', '-'])
      assert.equal(JSON.stringify(refused.headers).includes('admins'), false)
      assert.deepEqual(
        seen.lines.filter((line) => line.includes('unauthorized')).map((line) => line.split(' ').slice(0, 3).join(' ')),
        ['refused unauthorized enforced', 'ended 403 unauthorized'],
      )
    })

    test('serves who is allowed', async (t) => {
      const { origin, as } = await listening(t, make)
      as(ADMIN)

      assert.equal((await ask(t, `${origin}/admin?x=1`)).text, 'ADMIN')
    })

    test('lets no stranger reach the handler, however the path is written', async (t) => {
      t.mock.method(process, 'emitWarning', () => {})
      const { port, reached } = await listening(t, make)
      const through: string[] = []

      for (const target of [...TARGETS, ...fc.sample(written, 100)]) {
        for (const method of ['GET', 'HEAD']) {
          const before = reached.times
          const client = await rawClient(t, port, `${method} ${target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n`)
          await client.closed
          assert.match(client.text(), /^HTTP/)
          if (reached.times > before) through.push(`${method} ${target}`)
        }
      }

      assert.deepEqual(through, [])
    })
  })
}
