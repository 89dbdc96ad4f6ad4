import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh } from '../src/index.ts'
import { inmeshHttp, type ServedListener } from '../src/server/node-http.ts'
import { cleanup, serve } from './support/servers.ts'

/** A service with a mesh of its own, that knows of one other: `next`. */
async function service(t: TestContext, name: string, next: number | undefined, listener: (mesh: Mesh) => ServedListener) {
  const services = next === undefined ? {} : { next: { discovery: staticEndpoints([`127.0.0.1:${next}`]) } }
  const mesh = createMesh({ name, services })
  const { port } = await serve(t, inmeshHttp({ mesh, onError: () => {} }, listener(mesh)))
  cleanup(t, () => mesh.close())
  return { port, mesh }
}

/** Answers with what the next service answers, as any application would write it: nothing is passed on by hand. */
const passOn: (mesh: Mesh) => ServedListener = (mesh) => async (_, response) => {
  const answer = await mesh.fetch('http://next/')
  response.writeHead(answer.status).end(await answer.text())
}

test('a deadline set in the first call stops the work three hops below, and nobody passed it on', async (t) => {
  let stopped: (reason: Error) => void
  const stop = new Promise<Error>((resolve) => (stopped = resolve))
  const remaining: number[] = []
  const last = await service(t, 'last', undefined, () => (request) => {
    remaining.push(request.mesh.remainingMs)
    request.mesh.signal.addEventListener('abort', () => stopped(request.mesh.signal.reason))
  })
  const third = await service(t, 'third', last.port, passOn)
  const second = await service(t, 'second', third.port, passOn)
  const first = createMesh({ services: { next: { discovery: staticEndpoints([`127.0.0.1:${second.port}`]), timeoutMs: 400 } } })
  cleanup(t, () => first.close())

  const call = first.fetch('http://next/')

  await assert.rejects(call, (error: Error) => (error.cause as { code?: string }).code === 'INMESH_TIMEOUT')
  assert.match((await stop).name, /^(TimeoutError|AbortError)$/)
  assert.equal(remaining.length, 1)
  assert.ok((remaining[0] as number) <= 400)
})

test('a caller that leaves ends the calls that were made for it, all the way down', async (t) => {
  let arrived: () => void
  const atWork = new Promise<void>((resolve) => (arrived = resolve))
  let stopped: () => void
  const stop = new Promise<void>((resolve) => (stopped = resolve))
  const last = await service(t, 'last', undefined, () => (request) => {
    request.mesh.onLeave(() => stopped())
    arrived()
  })
  const second = await service(t, 'second', last.port, passOn)
  const first = createMesh({ services: { next: { discovery: staticEndpoints([`127.0.0.1:${second.port}`]) } } })
  cleanup(t, () => first.close())
  const leave = new AbortController()
  const call = first.fetch('http://next/', { signal: leave.signal })
  await atWork

  leave.abort()

  await assert.rejects(call, { name: 'AbortError' })
  await stop
})

test('a failure deep down is sent again once, and not to the power of the hops', async (t) => {
  let asked = 0
  const last = await service(t, 'last', undefined, () => (_, response) => {
    asked++
    response.writeHead(503).end()
  })
  const third = await service(t, 'third', last.port, passOn)
  const second = await service(t, 'second', third.port, passOn)
  const first = createMesh({ services: { next: { discovery: staticEndpoints([`127.0.0.1:${second.port}`]) } } })
  cleanup(t, () => first.close())

  const answer = await first.fetch('http://next/')

  assert.equal(answer.status, 503)
  // every hop alone would send again: 2 x 2 x 2; a hop that serves a resend does not
  assert.ok(asked <= 4, `${asked}`)
})

test('the server knows who calls', async (t) => {
  const last = await service(t, 'last', undefined, () => (request, response) => void response.end(request.mesh.caller))
  const first = createMesh({ name: 'web', services: { next: { discovery: staticEndpoints([`127.0.0.1:${last.port}`]) } } })
  cleanup(t, () => first.close())

  assert.equal(await (await first.fetch('http://next/')).text(), 'web')
})
