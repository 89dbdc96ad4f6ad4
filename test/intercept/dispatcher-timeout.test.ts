import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { request } from 'undici'
import { noRetry } from '../../src/core/retry-policy.ts'
import { engine, until } from '../support/engine.ts'
import { serve, serveRaw, serveTls, testCertificate } from '../support/servers.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

const off = (): typeof noRetry => noRetry

describe('the time of a whole call', () => {
  test('ends a call that is not answered', async (t) => {
    const silent = await serveRaw(t, (socket) => void socket.resume())
    const clock = new VirtualClock()
    const { dispatcher, watch, service } = engine(t, { addresses: [silent], timeoutMs: 100, clock })
    const failed = assert.rejects(request('http://voting/', { dispatcher }), {
      name: 'MeshError',
      code: 'INMESH_TIMEOUT',
      message: `voting: no whole answer within 100 ms (attempts: 1, last on 127.0.0.1:${silent.port})`,
      attempts: 1,
      reason: 'timeout',
    })
    await once(silent.server, 'connection')
    await settle()

    clock.advance(99)
    assert.equal(service.inFlight, 1)
    clock.advance(1)

    await failed
    assert.equal(service.inFlight, 0)
    assert.deepEqual(watch.last.attempts, [{ endpoint: `127.0.0.1:${silent.port}`, number: 1, reason: 'timeout' }])
    await silent.idle()
  })

  test('ends an answer in the middle of its body', async (t) => {
    const server = await serve(t, (_req, res) => void res.write('beginning'))
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [server], timeoutMs: 100, clock })
    const { statusCode, body } = await request('http://voting/', { dispatcher })
    await once(body, 'readable')

    clock.advance(100)

    await assert.rejects(body.text(), { code: 'INMESH_TIMEOUT' })
    assert.equal(statusCode, 200)
    assert.equal(watch.last.reason, 'timeout')
    await server.idle()
  })

  test('ends a call that waits for an endpoint', async (t) => {
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [], timeoutMs: 100, clock })
    const failed = assert.rejects(request('http://voting/', { dispatcher }), {
      message: 'voting: no whole answer within 100 ms (attempts: 0)',
    })

    clock.advance(100)

    await failed
    assert.equal(watch.last.attempts.length, 0)
  })

  test('means nothing once the call is over', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [server], timeoutMs: 100, perTryTimeoutMs: 50, clock })
    const { body } = await request('http://voting/', { dispatcher })
    assert.equal(await body.text(), 'hello')

    clock.advance(200)

    assert.equal(watch.last.reason, 'ok')
  })
})

describe('the time of one try', () => {
  test('sends an idempotent call to another endpoint, and what the first still says reaches nobody', async (t) => {
    const late: (() => void)[] = []
    const slow = await serve(t, (_req, res) => void late.push(() => res.end('late')))
    const fast = await serve(t, (_req, res) => res.end('fast'))
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [slow, fast], perTryTimeoutMs: 50, clock })
    const answer = request('http://voting/', { dispatcher })
    await until(() => late.length === 1)

    clock.advance(50)
    late[0]?.()
    const { body } = await answer

    assert.equal(await body.text(), 'fast')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['try_timeout', 'ok'],
    )
    await slow.idle()
  })

  test('fails any other call', async (t) => {
    const silent = await serve(t, () => {})
    const clock = new VirtualClock()
    const { dispatcher } = engine(t, { addresses: [silent], perTryTimeoutMs: 50, clock })
    const failed = assert.rejects(request('http://voting/', { dispatcher, method: 'POST' }), {
      code: 'INMESH_ATTEMPTS_FAILED',
      message: `voting: 1 attempt failed, on 127.0.0.1:${silent.port}: no answer within 50 ms`,
      reason: 'try_timeout',
    })
    await once(silent.server, 'request')

    clock.advance(50)

    await failed
  })

  test('does not bound the body', async (t) => {
    const held: (() => void)[] = []
    const server = await serve(t, (_req, res) => {
      res.write('be')
      held.push(() => res.end('gin'))
    })
    const clock = new VirtualClock()
    const { dispatcher } = engine(t, { addresses: [server], perTryTimeoutMs: 50, clock })
    const { body } = await request('http://voting/', { dispatcher })

    clock.advance(500)
    held[0]?.()

    assert.equal(await body.text(), 'begin')
  })

  test('runs anew for each try', async (t) => {
    const silent = await serve(t, () => {})
    const other = await serve(t, () => {})
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [silent, other], perTryTimeoutMs: 50, clock })
    const failed = assert.rejects(request('http://voting/', { dispatcher }), {
      message: `voting: 2 attempts failed, last on 127.0.0.1:${other.port}: no answer within 50 ms`,
    })
    await once(silent.server, 'request')
    clock.advance(50)
    await once(other.server, 'request')

    clock.advance(49)
    assert.equal(watch.last.reason, undefined)
    clock.advance(1)

    await failed
  })

  test('does not pass while this process stands still', async (t) => {
    const held: (() => void)[] = []
    const server = await serve(t, (_req, res) => void held.push(() => res.end('hello')))
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [server], perTryTimeoutMs: 100, clock })
    const answer = request('http://voting/', { dispatcher })
    await until(() => held.length === 1)

    clock.stall(500)
    clock.advance(0)
    held[0]?.()

    assert.equal(await (await answer).body.text(), 'hello')
    assert.equal(watch.last.attempts.length, 1)
  })

  test('lets an answer be read that came while this process really stood still', async (t) => {
    const server = await serve(t, (_req, res) => {
      res.end('hello')
      // the answer is written, and nobody reads it until the try is long over
      setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300))
    })
    const { dispatcher, watch } = engine(t, { addresses: [server], perTryTimeoutMs: 100, retry: off })

    const { body } = await request('http://voting/', { dispatcher })

    assert.equal(await body.text(), 'hello')
    assert.equal(watch.last.reason, 'ok')
  })
})

describe('the time of a connection', () => {
  /** TLS against a server that accepts and says nothing: on the loopback, the one connection that never comes about. */
  test('sends any call to another endpoint, as nothing was written', async (t) => {
    const silent = await serveRaw(t, (socket) => void socket.resume())
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [silent], connectTimeoutMs: 80, clock })
    const failed = assert.rejects(request('https://voting/', { dispatcher, method: 'POST', body: 'x' }), {
      code: 'INMESH_ATTEMPTS_FAILED',
      message: `voting: 5 attempts failed, last on 127.0.0.1:${silent.port}: connect timeout 127.0.0.1:${silent.port} (80 ms)`,
      reason: 'connect_timeout',
    })

    for (let i = 1; i <= 5; i++) {
      await until(() => silent.accepted() === i && silent.connections.size === 1)
      await clock.pass(81)
    }

    await failed
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      Array.from({ length: 5 }, () => 'connect_timeout'),
    )
    await silent.idle()
  })

  test("may be shorter than undici's own clock can tell", async (t) => {
    const silent = await serveRaw(t, (socket) => void socket.resume())
    const { dispatcher } = engine(t, { addresses: [silent], connectTimeoutMs: 20, retry: off })
    const startedAt = performance.now()

    await assert.rejects(request('https://voting/', { dispatcher }), { reason: 'connect_timeout' })

    assert.ok(performance.now() - startedAt < 400, `${performance.now() - startedAt} ms`)
  })

  test('may be cut short by the time of one try, and any call is sent again', async (t) => {
    const silent = await serveRaw(t, (socket) => void socket.resume())
    const well = await serveTls(t, (_req, res) => res.end('hello'))
    const clock = new VirtualClock()
    const tls = { ca: testCertificate.cert }
    const { dispatcher, watch } = engine(t, { addresses: [silent, well], perTryTimeoutMs: 50, clock, tls })
    const answer = request('https://voting/', { dispatcher, method: 'POST', body: 'x' })
    await until(() => silent.accepted() === 1)

    clock.advance(50)

    assert.equal(await (await answer).body.text(), 'hello')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['connect_timeout', 'ok'],
    )
    await clock.pass(1_001)
    await silent.idle()
  })
})

test("the application's own limits give undici's errors as the cause, and nothing is sent again", async (t) => {
  const server = await serve(t, (req, res) => {
    if (req.url === '/body') res.write('beginning')
  })
  const { dispatcher, watch } = engine(t, { addresses: [server, server.port] })

  const [head, body] = await Promise.all([
    request('http://voting/head', { dispatcher, headersTimeout: 10 }).catch((error: unknown) => error as Error),
    request('http://voting/body', { dispatcher, bodyTimeout: 10 }).then((answer) =>
      answer.body.text().catch((error: unknown) => error as Error),
    ),
  ])

  assert.equal(((head as Error).cause as { code: string }).code, 'UND_ERR_HEADERS_TIMEOUT')
  assert.equal((body as { code?: string }).code, 'UND_ERR_BODY_TIMEOUT')
  for (const call of watch.calls) assert.deepEqual([call.reason, call.attempts.length], ['answer_timeout', 1])
})
