import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import http2 from 'node:http2'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Drain, type DrainOptions } from '../../src/server/drain.ts'
import { liveness, readiness } from '../../src/server/health.ts'
import { inmeshHttp, type ServedListener } from '../../src/server/node-http.ts'
import { cleanup, serve, serveH2c } from '../support/servers.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'
import { ask } from './support/ask.ts'
import { rawClient } from './support/raw-client.ts'
import { serving } from './support/serving.ts'

const GET = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

async function draining(t: TestContext, listener: ServedListener, options: Partial<DrainOptions> = {}) {
  const runtime = virtualRuntime()
  const { mesh, seen } = serving({}, { runtime })
  const server = await serve(t, inmeshHttp({ mesh }, listener))
  const drain = new Drain(mesh.inbound, { noticeMs: 1_000, graceMs: 5_000, ...options })
  drain.watch(server.server)
  return { ...server, mesh, seen, drain, clock: runtime.clock }
}

describe('while a process leaves', () => {
  test('every answer says so, and all is still served', async (t) => {
    const { origin, mesh, drain, server, clock } = await draining(t, (_request, response) => response.end('served'))
    const before = await ask(t, origin)

    const drained = drain.drain()
    const during = await ask(t, origin)

    assert.deepEqual(
      [before.headers['x-envoy-immediate-health-check-fail'], before.headers.connection],
      [undefined, 'keep-alive'],
    )
    assert.deepEqual([during.headers['x-envoy-immediate-health-check-fail'], during.headers.connection], ['true', 'close'])
    assert.equal(during.text, 'served')
    assert.deepEqual([mesh.inbound.state, mesh.inbound.ready, server.listening], ['leaving', false, true])
    await finished(clock, drained)
  })

  test('readiness says no and liveness yes', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(t, (request, response) =>
      request.url === '/ready' ? readiness(mesh)(request, response) : liveness()(request, response),
    )
    const both = async () => {
      const [ready, live] = [await ask(t, `${origin}/ready`), await ask(t, `${origin}/live`)]
      return [ready.status, ready.text, live.status, live.text]
    }

    assert.deepEqual(await both(), [200, 'ready', 200, 'live'])
    mesh.inbound.state = 'leaving'
    assert.deepEqual(await both(), [503, 'leaving', 200, 'live'])
  })
})

describe('a drain', () => {
  test('closes idle connections after its notice, and then is over', async (t) => {
    const { port, mesh, drain, server, clock, idle } = await draining(t, (_request, response) => response.end('served'))
    const client = await rawClient(t, port, GET)
    await client.got(/served/)

    const drained = drain.drain()
    await clock.pass(999)
    assert.equal(server.listening, true)
    await clock.pass(1)
    await Promise.all([client.closed, idle()])

    assert.equal(await finished(clock, drained), 0)
    assert.deepEqual([server.listening, mesh.inbound.state], [false, 'left'])
    assert.equal(clock.pending, 0)
  })

  test('finishes what is in flight', async (t) => {
    const finish: (() => void)[] = []
    const { port, drain, clock } = await draining(t, (_request, response) => void finish.push(() => response.end('served')))
    const client = await rawClient(t, port, GET)
    while (finish.length === 0) await turn()

    const drained = drain.drain()
    await clock.pass(3_000)
    finish[0]?.()
    await client.got(/served/)

    assert.equal(await finished(clock, drained), 0)
    await client.closed
  })

  test('cuts off what is still in flight after its grace time, and says how much', async (t) => {
    const { port, drain, seen, clock } = await draining(t, () => {})
    const clients = await Promise.all([0, 1, 2].map(() => rawClient(t, port, GET)))
    while (seen.inbounds.length < 3) await turn()

    const drained = drain.drain()
    await clock.pass(4_999)
    assert.equal(seen.endings.length, 0)
    await clock.pass(1)

    assert.equal(await drained, 3)
    await Promise.all(clients.map((client) => client.closed))
    await seen.whenEnded(3)
    assert.deepEqual(new Set(seen.endings), new Set(['ended 200 broken_off']))
    assert.equal(clock.pending, 0)
  })

  test('sends GOAWAY and finishes the streams', async (t) => {
    const runtime = virtualRuntime()
    const { mesh } = serving({}, { runtime })
    const finish: (() => void)[] = []
    const listener: ServedListener<http2.Http2ServerRequest, http2.Http2ServerResponse> = (_request, response) =>
      void finish.push(() => response.end('served'))
    const { origin, server } = await serveH2c(t, inmeshHttp({ mesh }, listener))
    const drain = new Drain(mesh.inbound, { noticeMs: 10, graceMs: 1_000 })
    drain.watch(server)
    const client = http2.connect(origin)
    cleanup(t, () => client.destroy())
    const stream = client.request()
    while (finish.length === 0) await turn()

    const goaway = once(client, 'goaway')
    const drained = drain.drain()
    await runtime.clock.pass(10)
    await goaway
    finish[0]?.()
    let text = ''
    for await (const chunk of stream.setEncoding('utf8')) text += chunk

    assert.equal(text, 'served')
    assert.equal(await finished(runtime.clock, drained), 0)
  })

  test('happens once, however often it is asked for', async (t) => {
    const { drain, clock } = await draining(t, (_request, response) => response.end())

    const [first, second] = [drain.drain(), drain.drain()]

    assert.equal(first, second)
    await finished(clock, first)
  })

  test('is over without a server, too', async () => {
    const runtime = virtualRuntime()
    const { mesh } = serving({}, { runtime })
    const drained = new Drain(mesh.inbound, { noticeMs: 0 }).drain()

    assert.equal(await finished(runtime.clock, drained), 0)
    assert.equal(runtime.clock.pending, 0)
  })

  test('refuses afterwards what still comes', async (t) => {
    const { mesh, seen } = serving({}, { runtime: virtualRuntime() })
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, () => assert.fail('the handler ran')),
    )
    mesh.inbound.state = 'left'

    const { status, headers, text } = await ask(t, origin)
    await seen.whenEnded(1)

    assert.deepEqual([status, text, headers['x-envoy-overloaded'], headers.connection], [503, 'draining', 'true', 'close'])
  })

  test('checks its options', () => {
    const { mesh } = serving()

    assert.throws(
      () => new Drain(mesh.inbound, { noticeMs: 100, graceMs: 50 }),
      /drain\.graceMs: expected at least noticeMs, which is 100, got 50/,
    )
  })

  test('on SIGTERM answers what is in flight, then lets the process end as the signal says', async (t) => {
    const child = fork(join(import.meta.dirname, 'support', 'draining-process.ts'))
    cleanup(t, () => child.kill('SIGKILL'))
    const [port] = (await once(child, 'message')) as [number]
    const exit = once(child, 'exit')
    const client = await rawClient(t, port, GET)
    await once(child, 'message')

    child.kill('SIGTERM')
    await client.got(/connection: close(?:.|\s)*served/i)

    assert.deepEqual(await exit, [null, 'SIGTERM'])
  })
})

/** Lets time pass until the drain is over. */
async function finished(clock: ReturnType<typeof virtualRuntime>['clock'], drained: Promise<number>): Promise<number> {
  let cutOff: number | undefined
  void drained.then((count) => {
    cutOff = count
  })
  for (let rounds = 0; cutOff === undefined && rounds < 10_000; rounds++) {
    await settle()
    clock.advance(10)
  }
  return cutOff ?? assert.fail('the drain never ends')
}
