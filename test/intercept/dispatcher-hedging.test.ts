import assert from 'node:assert/strict'
import { createHash, randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, type TestContext, test } from 'node:test'
import { request } from 'undici'
import { withContext } from '../../src/core/request-context.ts'
import { hedge } from '../../src/resilience/hedge.ts'
import { retry } from '../../src/resilience/retry.ts'
import { emptyBudget, retryBudget } from '../../src/resilience/retry-budget.ts'
import { AT_ONCE, type Engine, type EngineOptions, engine, until } from '../support/engine.ts'
import { requestContext } from '../support/grpc-context.ts'
import { serve, serveH2c, type TestServer } from '../support/servers.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

/** A server that holds its answers until it is told. */
interface Holder extends TestServer {
  readonly requests: { readonly request: IncomingMessage; readonly response: ServerResponse; readonly body: Promise<string> }[]
  /** How many of its answers were not wanted any more. */
  cancelled: number
  answer(body: string, status?: number, headers?: Record<string, string>): void
}

async function holder(t: TestContext, make: typeof serve | typeof serveH2c = serve): Promise<Holder> {
  const requests: Holder['requests'] = []
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    requests.push({ request, response, body: text(request).catch(() => 'cut off') })
    response.on('close', () => {
      if (!response.writableEnded) held.cancelled++
    })
  }
  const held: Holder = {
    ...(await make(t, listener as never)),
    requests,
    cancelled: 0,
    answer: (body, status = 200, headers = {}) => void requests.at(-1)?.response.writeHead(status, headers).end(body),
  }
  return held
}

interface Trial extends Engine {
  readonly clock: VirtualClock
  readonly a: Holder
  readonly b: Holder
}

/** Two servers that hold their answers, hedged after 50 ms of a clock that stands still. */
async function trial(t: TestContext, options: Partial<EngineOptions> = {}): Promise<Trial> {
  const make = options.protocol === 'h2c' ? serveH2c : serve
  const [a, b] = [await holder(t, make), await holder(t, make)]
  const clock = new VirtualClock()
  return { ...engine(t, { addresses: [a, b], clock, hedge: hedge({ delayMs: 50 }), ...options }), clock, a, b }
}

/** Until both servers have the request. */
async function bothAsked({ clock, a, b }: Trial): Promise<void> {
  await until(() => a.requests.length > 0)
  clock.advance(50)
  await until(() => b.requests.length > 0)
}

const reasonsOf = ({ watch }: Engine) => watch.last.attempts.map(({ number, reason }) => `${number} ${reason}`)

describe('a call whose answer is late', () => {
  test('is answered by whoever answers first, and the other is cancelled', async (t) => {
    const trying = await trial(t)
    const { dispatcher, a, b, watch, service } = trying
    const answer = request('http://voting/', { dispatcher })
    await bothAsked(trying)

    b.answer('b')

    assert.equal(await (await answer).body.text(), 'b')
    await until(() => a.cancelled === 1)
    assert.deepEqual(reasonsOf(trying), ['1 cancelled', '2 ok'])
    assert.equal(watch.last.reason, 'ok')
    assert.equal(service.inFlight, 0)
    assert.equal(a.requests[0]?.request.headers['x-envoy-attempt-count'], undefined)
    assert.equal(b.requests[0]?.request.headers['x-envoy-attempt-count'], '2')
  })

  test('is answered by the first all the same, if that comes first', async (t) => {
    const trying = await trial(t)
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.a.answer('a')

    assert.equal(await (await answer).body.text(), 'a')
    await until(() => trying.b.cancelled === 1)
    assert.deepEqual(reasonsOf(trying), ['2 cancelled', '1 ok'])
  })

  test('has its whole body from the winner, however long it is', async (t) => {
    const trying = await trial(t)
    const block = randomFillSync(Buffer.alloc(256 * 1024))
    const [sent, received] = [createHash('sha256'), createHash('sha256')]
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    const parts = Array.from({ length: 40 }, (_, i) => Buffer.concat([Buffer.from(`${i}`), block]))
    for (const part of parts) sent.update(part)
    Readable.from(parts).pipe(trying.b.requests[0]?.response as ServerResponse)
    for await (const chunk of (await answer).body) received.update(chunk)

    assert.equal(received.digest('hex'), sent.digest('hex'))
  })

  test('is told of one answer when both come at once', async (t) => {
    const trying = await trial(t)
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.a.answer('same')
    trying.b.answer('same')

    assert.equal(await (await answer).body.text(), 'same')
    await settle()
    assert.equal(trying.watch.calls.length, 1)
  })

  test('keeps the connection of a loser that speaks HTTP/2', async (t) => {
    const trying = await trial(t, { protocol: 'h2c' })
    const { dispatcher, a, b } = trying
    const first = request('http://voting/', { dispatcher })
    await bothAsked(trying)
    b.answer('b')
    await (await first).body.dump()
    await until(() => a.cancelled === 1)

    const second = request('http://voting/', { dispatcher })
    await until(() => a.requests.length === 2)
    a.answer('a')

    assert.equal(await (await second).body.text(), 'a')
    assert.equal(a.accepted(), 1)
  })

  test('sends its body to both', async (t) => {
    for (const body of ['text', Buffer.from('text'), Readable.from(['te', 'xt'])]) {
      const trying = await trial(t)
      const answer = request('http://voting/', { dispatcher: trying.dispatcher, method: 'PUT', body })
      await until(() => trying.a.requests.length > 0)
      assert.equal(await trying.a.requests[0]?.body, 'text')
      await bothAsked(trying)

      assert.equal(await trying.b.requests[0]?.body, 'text')
      trying.b.answer('b')
      assert.equal(await (await answer).body.text(), 'b')
    }
  })
})

describe('a call that is not hedged', () => {
  const lone = async (trying: Trial, options: Parameters<typeof request>[1] = {}) => {
    const answer = request('http://voting/', { dispatcher: trying.dispatcher, ...options })
    await until(() => trying.a.requests.length > 0)
    trying.clock.advance(10_000)
    await settle()
    assert.equal(trying.b.requests.length, 0)
    trying.a.answer('a')
    assert.equal(await (await answer).body.text(), 'a')
    assert.deepEqual(reasonsOf(trying), ['1 ok'])
  }

  test('is one that must not be sent twice', async (t) => lone(await trial(t), { method: 'POST', body: 'vote' }))

  test('is one for which nobody pays', async (t) => lone(await trial(t, { budget: () => emptyBudget })))

  test('is one on a route that does not hedge', async (t) => lone(await trial(t, { hedge: undefined as never })))

  test('is one of a service that was too seldom asked to know how long it takes', async (t) =>
    lone(await trial(t, { hedge: hedge() })))

  test('is a resend of somebody further up', async (t) => lone(await trial(t), { headers: { 'x-envoy-attempt-count': '2' } }))

  test('is one that is made for a resend', async (t) => {
    const trying = await trial(t)
    await withContext(requestContext({ attempt: 2 }), () => lone(trying))
  })

  test('is one whose time is over before', async (t) => {
    const trying = await trial(t, { timeoutMs: 50 })
    const failed = assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher }), { code: 'INMESH_TIMEOUT' })
    await until(() => trying.a.requests.length > 0)
    trying.clock.advance(50)

    await failed
    assert.equal(trying.b.requests.length, 0)
  })

  test('is one whose body is still being read', async (t) => {
    const trying = await trial(t)
    const body = new PassThrough()
    body.write('half')
    const answer = request('http://voting/', { dispatcher: trying.dispatcher, method: 'PUT', body })
    await until(() => trying.a.requests.length > 0)
    trying.clock.advance(10_000)
    await settle()
    assert.equal(trying.b.requests.length, 0)
    body.end(' and half')

    assert.equal(await trying.a.requests[0]?.body, 'half and half')
    trying.a.answer('a')
    await (await answer).body.dump()
  })

  test('is one to a service with a single endpoint', async (t) => {
    const trying = await trial(t)
    trying.update([trying.a])
    await lone(trying)
  })
})

test('a POST with an idempotency key is hedged', async (t) => {
  const trying = await trial(t)
  const headers = { 'idempotency-key': '1' }
  const answer = request('http://voting/', { dispatcher: trying.dispatcher, method: 'POST', body: 'vote', headers })
  await bothAsked(trying)

  trying.b.answer('b')

  assert.equal(await (await answer).body.text(), 'b')
})

test('hedges and resends are paid from one budget', async (t) => {
  const trying = await trial(t, {
    budget: retryBudget({ percent: 0, minPerSecond: 0.1 }),
    retry: retry({ attempts: 5, backoff: () => () => 0 }),
  })
  const answer = request('http://voting/', { dispatcher: trying.dispatcher })
  await bothAsked(trying)
  assert.equal(trying.budget.balance, 0)

  trying.a.answer('', 503)
  await settle()
  trying.b.answer('b failed too', 503)

  assert.equal((await answer).statusCode, 503)
  assert.deepEqual(reasonsOf(trying), ['1 unavailable', '2 unavailable'])
})

describe('a failure', () => {
  test('is not heard of while another attempt is under way', async (t) => {
    const trying = await trial(t)
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.a.answer('not now', 503)
    await until(() => trying.service.inFlight === 1)
    trying.b.answer('b')

    const { statusCode, body } = await answer
    assert.equal(statusCode, 200)
    assert.equal(await body.text(), 'b')
    assert.deepEqual(reasonsOf(trying), ['1 unavailable', '2 ok'])
  })

  test('is followed at once by the next attempt', async (t) => {
    const c = await holder(t)
    const trying = await trial(t, { hedge: hedge({ delayMs: 50, attempts: 3 }) })
    trying.update([trying.a, trying.b, c])
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.b.requests[0]?.response.destroy()
    await until(() => trying.service.inFlight === 1)
    trying.clock.advance(0)
    await until(() => c.requests.length === 1)
    c.answer('c')

    assert.equal(await (await answer).body.text(), 'c')
    await until(() => trying.a.cancelled === 1)
    assert.deepEqual(reasonsOf(trying), ['2 reset', '1 cancelled', '3 ok'])
    assert.equal(c.requests[0]?.request.headers['x-envoy-attempt-count'], '3')
  })

  test('of all of them is told as that of the last, with how many there were', async (t) => {
    const trying = await trial(t)
    const failed = assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher }), {
      code: 'INMESH_ATTEMPTS_FAILED',
      message: new RegExp(`^voting: 2 attempts failed, last on 127\\.0\\.0\\.1:${trying.a.port}: `),
      attempts: 2,
    })
    await bothAsked(trying)

    trying.b.requests[0]?.response.destroy()
    await until(() => trying.service.inFlight === 1)
    trying.a.requests[0]?.response.destroy()

    await failed
    assert.deepEqual(reasonsOf(trying), ['2 reset', '1 reset'])
  })

  test('of all of them is followed by a resend, where the route allows more', async (t) => {
    const trying = await trial(t, { retry: retry({ attempts: 3, backoff: () => () => 0 }) })
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.b.answer('', 503)
    await until(() => trying.service.inFlight === 1)
    trying.a.answer('', 503)
    await until(() => trying.b.requests.length === 2)
    trying.b.answer('at last')

    assert.equal(await (await answer).body.text(), 'at last')
    assert.deepEqual(reasonsOf(trying), ['2 unavailable', '1 unavailable', '3 ok'])
    assert.equal(trying.b.requests[1]?.request.headers['x-envoy-attempt-count'], '3')
  })

  test('that sending again would not mend is told at once', async (t) => {
    const trying = await trial(t)
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.b.answer('no', 500)

    assert.equal((await answer).statusCode, 500)
    await until(() => trying.a.cancelled === 1)
  })

  test('of the answer’s body ends the call, as ever', async (t) => {
    const trying = await trial(t)
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await bothAsked(trying)

    trying.b.requests[0]?.response.writeHead(200, { 'content-length': '100' }).write('begun')
    const { body } = await answer
    await once(body, 'readable')
    trying.b.requests[0]?.response.destroy()

    await assert.rejects(body.text())
    assert.deepEqual(reasonsOf(trying), ['1 cancelled', '2 broken_off'])
  })
})

describe('the end of a hedged call', () => {
  test('by the application ends every attempt', async (t) => {
    const trying = await trial(t)
    const abort = new AbortController()
    const failed = assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher, signal: abort.signal }), {
      name: 'AbortError',
    })
    await bothAsked(trying)

    abort.abort()

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
    assert.deepEqual(reasonsOf(trying).sort(), ['1 cancelled', '2 cancelled'])
    assert.equal(trying.service.inFlight, 0)
  })

  test('by the application while it reads the answer ends that', async (t) => {
    const trying = await trial(t)
    const abort = new AbortController()
    const answer = request('http://voting/', { dispatcher: trying.dispatcher, signal: abort.signal })
    await bothAsked(trying)
    trying.b.requests[0]?.response.writeHead(200).write('begun')
    const { body } = await answer

    abort.abort()

    await assert.rejects(body.text(), { name: 'AbortError' })
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
  })

  test('by its total time ends every attempt', async (t) => {
    const trying = await trial(t, { timeoutMs: 200 })
    const failed = assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher }), {
      code: 'INMESH_TIMEOUT',
      message: /attempts: 2/,
    })
    await bothAsked(trying)

    trying.clock.advance(150)

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
    assert.deepEqual(reasonsOf(trying).sort(), ['1 timeout', '2 timeout'])
  })

  test('by the closing of the mesh ends every attempt', async (t) => {
    const trying = await trial(t)
    const failed = assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher }), { code: 'INMESH_CLOSED' })
    await bothAsked(trying)

    await trying.dispatcher.destroy()

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
  })

  test('by the caller it was made for ends every attempt', async (t) => {
    const trying = await trial(t)
    const leaving = new AbortController()
    const failed = withContext(requestContext({ leaves: leaving.signal }), () =>
      assert.rejects(request('http://voting/', { dispatcher: trying.dispatcher })),
    )
    await bothAsked(trying)

    leaving.abort(new Error('left'))

    await failed
    await until(() => trying.a.cancelled === 1 && trying.b.cancelled === 1)
  })
})

test('the time of one attempt is each attempt’s own', async (t) => {
  const trying = await trial(t, { perTryTimeoutMs: 100, retry: AT_ONCE })
  const answer = request('http://voting/', { dispatcher: trying.dispatcher })
  await bothAsked(trying)

  trying.clock.advance(50)
  assert.deepEqual(reasonsOf(trying), ['1 try_timeout'])
  await until(() => trying.a.cancelled === 1)
  trying.b.answer('b')

  assert.equal(await (await answer).body.text(), 'b')
})

test('a route learns from its answers when to hedge', async (t) => {
  const quick = await serve(t, (_request, response) => void response.end('quick'))
  const clock = new VirtualClock()
  const { dispatcher, watch } = engine(t, { addresses: [quick], clock, hedge: hedge() })
  for (let i = 0; i < 100; i++) await (await request('http://voting/', { dispatcher })).body.dump()
  assert.ok(watch.calls.every(({ attempts }) => attempts.length === 1))

  const trying = await trial(t, { hedge: hedge() })
  for (let i = 0; i < 100; i++) {
    const answer = request('http://voting/', { dispatcher: trying.dispatcher })
    await until(() => trying.a.requests.length === i + 1)
    trying.clock.advance(i < 90 ? 10 : 80)
    trying.a.answer('a')
    await (await answer).body.dump()
  }
  const late = request('http://voting/', { dispatcher: trying.dispatcher })
  await until(() => trying.a.requests.length === 101)
  trying.clock.advance(79)
  await settle()
  assert.equal(trying.b.requests.length, 0)
  trying.clock.advance(1)
  await until(() => trying.b.requests.length === 1)
  trying.b.answer('b')

  assert.equal(await (await late).body.text(), 'b')
})
