import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import type { Server } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import Fastify from 'fastify'
import { inmeshFastify } from '../../src/server/fastify.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { cleanup, serve } from '../support/servers.ts'
import { ask } from './support/ask.ts'
import { serving } from './support/serving.ts'

/** Ten thousand, or what this machine lets one process open, less what the process needs for itself. */
const CONNECTIONS = Math.min(10_000, openFiles() - 500)

test('a client with ten thousand idle connections costs a node:http server no request, and others are served', async (t) => {
  const at = serving()
  const { origin, server } = await serve(
    t,
    inmeshHttp({ mesh: at.mesh }, (_, response) => void response.end('well')),
  )

  await servesBeside(t, server, origin)

  assert.equal(at.seen.inbounds.length, 1)
})

test('a client with ten thousand idle connections costs a Fastify server no request, and others are served', async (t) => {
  const at = serving()
  const app = Fastify()
  app.register(inmeshFastify, { mesh: at.mesh })
  app.get('/', async () => 'well')
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  cleanup(t, () => {
    app.server.closeAllConnections()
    return app.close()
  })

  await servesBeside(t, app.server, origin)

  assert.equal(at.seen.inbounds.length, 1)
})

async function servesBeside(t: TestContext, server: Server, origin: string): Promise<void> {
  const path = fileURLToPath(new URL('./support/idle-crowd.ts', import.meta.url))
  const crowd = fork(path, [new URL(origin).port, String(CONNECTIONS)])
  cleanup(t, async () => {
    if (crowd.exitCode !== null || crowd.signalCode !== null) return
    crowd.kill('SIGKILL')
    await once(crowd, 'exit')
  })
  const [opened] = await once(crowd, 'message')
  while ((await connectionsOf(server)) < CONNECTIONS) await turn()

  assert.equal(opened, CONNECTIONS)
  assert.equal((await ask(t, `${origin}/`)).status, 200)
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  )
}

function openFiles(): number {
  const { userLimits } = process.report.getReport() as { userLimits?: { open_files?: { hard: number | 'unlimited' } } }
  const hard = userLimits?.open_files?.hard
  return typeof hard === 'number' ? hard : Number.POSITIVE_INFINITY
}
