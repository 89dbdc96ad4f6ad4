import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import type { Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { describe, type TestContext, test } from 'node:test'
import { FormData, request } from 'undici'
import { createFetch } from '../../src/intercept/undici/fetch.ts'
import { retry } from '../../src/resilience/retry.ts'
import { emptyBudget } from '../../src/resilience/retry-budget.ts'
import { engine, REFUSED_PORT, until } from '../support/engine.ts'
import { serve, serveRaw } from '../support/servers.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'QUERY'] as const
const KEPT_BYTES = 64 * 1024

async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Answers with a status once the whole request was read. */
const answering = (status: number, headers: Record<string, string> = {}): RequestListener => {
  return async (req, res) => {
    await bytesOf(req)
    res.writeHead(status, headers).end(String(status))
  }
}

/** Answers with what it got. */
const echoing: RequestListener = (req, res) =>
  void bytesOf(req).then(
    (bytes) => res.end(bytes),
    () => {},
  )

/** Reads a request and says something, or nothing, on the bare socket. */
function raw(t: TestContext, then: (socket: Socket) => void): ReturnType<typeof serveRaw> {
  return serveRaw(t, (socket) => void socket.once('data', () => then(socket)))
}

describe('a status that says "not now"', () => {
  for (const status of [502, 503, 504]) {
    test(`${status} is sent again to another endpoint, for idempotent calls only`, async (t) => {
      const sick = await serve(t, answering(status))
      const well = await serve(t, answering(200))
      const { dispatcher, watch } = engine(t, { addresses: [sick, well] })

      for (const method of IDEMPOTENT) {
        const { statusCode, body } = await request('http://voting/', { dispatcher, method })
        await body.dump()
        assert.equal(statusCode, 200, method)
        assert.deepEqual(watch.last.attempts, [
          { endpoint: `127.0.0.1:${sick.port}`, number: 1, reason: 'unavailable' },
          { endpoint: `127.0.0.1:${well.port}`, number: 2, reason: 'ok' },
        ])
      }
      for (const method of ['POST', 'PATCH'] as const) {
        const { statusCode, body } = await request('http://voting/', { dispatcher, method })
        assert.deepEqual([statusCode, await body.text()], [status, String(status)], method)
      }
    })
  }

  test('is passed on when the last attempt says so, too', async (t) => {
    const one = await serve(t, answering(503))
    const two = await serve(t, answering(504))
    const { dispatcher, watch } = engine(t, { addresses: [one, two] })

    const { statusCode, body } = await request('http://voting/', { dispatcher })

    assert.deepEqual([statusCode, await body.text()], [504, '504'])
    assert.equal(watch.last.reason, 'unavailable')
    assert.equal(watch.last.attempts.length, 2)
  })

  test('500 and 501 are answers', async (t) => {
    const sick = await serve(t, answering(500))
    const { dispatcher, watch } = engine(t, { addresses: [sick, REFUSED_PORT] })

    const { statusCode, body } = await request('http://voting/', { dispatcher })
    await body.dump()

    assert.equal(statusCode, 500)
    assert.equal(watch.last.attempts.length, 1)
  })

  test('is sent again for a POST that says it is idempotent', async (t) => {
    const sick = await serve(t, answering(503))
    const well = await serve(t, echoing)
    const { dispatcher } = engine(t, { addresses: [sick, well] })

    for (const how of [{ idempotent: true }, { headers: { 'Idempotency-Key': 'k1' } }]) {
      const { body } = await request('http://voting/', { dispatcher, method: 'POST', body: 'hello', ...how })
      assert.equal(await body.text(), 'hello')
    }
  })

  test('is not sent again when the caller is itself a resend', async (t) => {
    const sick = await serve(t, answering(503))
    const well = await serve(t, answering(200))
    const { dispatcher } = engine(t, { addresses: [sick, well] })

    const { statusCode, body } = await request('http://voting/', { dispatcher, headers: { 'x-envoy-attempt-count': '2' } })
    await body.dump()

    assert.equal(statusCode, 503)
  })

  test('is not sent again without a budget', async (t) => {
    const sick = await serve(t, answering(503))
    const well = await serve(t, answering(200))
    const { dispatcher } = engine(t, { addresses: [sick, well], budget: () => emptyBudget })

    const { statusCode, body } = await request('http://voting/', { dispatcher })
    await body.dump()

    assert.equal(statusCode, 503)
  })

  test('is not sent again when the deadline is nearer than the wait', async (t) => {
    const sick = await serve(t, answering(503))
    const well = await serve(t, answering(200))
    const { dispatcher } = engine(t, { addresses: [sick, well], timeoutMs: 5_000, retry: retry({ backoff: () => () => 60_000 }) })

    const { statusCode, body } = await request('http://voting/', { dispatcher })
    await body.dump()

    assert.equal(statusCode, 503)
  })

  test('is given as long as it asks for, in seconds or until a date', async (t) => {
    for (const headers of [
      { 'retry-after': '1' },
      { 'retry-after': 'Mon, 01 Jan 2029 00:00:01 GMT', date: 'Mon, 01 Jan 2029 00:00:00 GMT' },
    ]) {
      const sick = await serve(t, answering(503, headers))
      const well = await serve(t, answering(200))
      const clock = new VirtualClock()
      const { dispatcher, watch } = engine(t, { addresses: [sick, well], clock })

      const answer = request('http://voting/', { dispatcher })
      await until(() => watch.calls[0]?.attempts.length === 1)
      await clock.pass(999)
      assert.equal(well.accepted(), 0)
      await clock.pass(1)

      const { statusCode, body } = await answer
      await body.dump()
      assert.equal(statusCode, 200)
    }
  })

  test('is passed on when it asks for too much', async (t) => {
    const sick = await serve(t, answering(503, { 'retry-after': '3600' }))
    const { dispatcher } = engine(t, { addresses: [sick, REFUSED_PORT] })

    const { statusCode, body } = await request('http://voting/', { dispatcher })
    await body.dump()

    assert.equal(statusCode, 503)
  })

  test('keeps its connection when its body is short, and loses it when it goes on for ever', async (t) => {
    const short = await serve(t, answering(503))
    const endless = await serve(t, (_req, res) => {
      res.writeHead(503)
      const more = (): void => {
        while (res.write(Buffer.alloc(16_384)));
      }
      res.on('drain', more)
      more()
    })
    const well = await serve(t, answering(200))

    for (const sick of [short, endless]) {
      const { dispatcher } = engine(t, { addresses: [sick, well] })
      const { statusCode, body } = await request('http://voting/', { dispatcher })
      await body.dump()
      assert.equal(statusCode, 200)
      if (sick === endless) await sick.idle()
      else assert.equal(sick.connections.size, 1)
    }
  })

  test('loses its connection when its body does not come', async (t) => {
    const sick = await serve(t, (_req, res) => {
      res.writeHead(503, { 'content-length': '10' }).write('x')
    })
    const well = await serve(t, answering(200))
    const clock = new VirtualClock()
    const { dispatcher } = engine(t, { addresses: [sick, well], clock })
    await (await request('http://voting/', { dispatcher })).body.dump()
    assert.equal(sick.connections.size, 1)

    clock.advance(1_000)

    await sick.idle()
  })
})

describe('a connection that is refused', () => {
  const bodies: Readonly<Record<string, () => { readonly body: unknown; readonly expect: string | RegExp }>> = {
    'a string': () => ({ body: 'hello', expect: 'hello' }),
    'a Buffer': () => ({ body: Buffer.from('hello'), expect: 'hello' }),
    'a typed array': () => ({ body: new Uint8Array(Buffer.from('hello')), expect: 'hello' }),
    'a Blob': () => ({ body: new Blob(['hello']), expect: 'hello' }),
    FormData: () => {
      const body = new FormData()
      body.set('choice', 'doughnut')
      return { body, expect: /name="choice"\r\n\r\ndoughnut/ }
    },
    'a stream': () => ({ body: Readable.from(['hel', 'lo']), expect: 'hello' }),
    'an async generator': () => ({
      body: (async function* () {
        yield 'hel'
        yield 'lo'
      })(),
      expect: 'hello',
    }),
    'a list of chunks': () => ({ body: ['hel', Buffer.from('lo')], expect: 'hello' }),
    nothing: () => ({ body: undefined, expect: '' }),
  }

  for (const [name, make] of Object.entries(bodies)) {
    for (const method of ['POST', 'PUT'] as const) {
      test(`does a ${method} of ${name} no harm`, async (t) => {
        const server = await serve(t, echoing)
        const { dispatcher, watch } = engine(t, { addresses: [REFUSED_PORT, server], budget: () => emptyBudget })
        const { body, expect } = make()

        const answer = await request('http://voting/', { dispatcher, method, body: body as never })
        const text = await answer.body.text()

        if (typeof expect === 'string') assert.equal(text, expect)
        else assert.match(text, expect)
        assert.deepEqual(
          watch.last.attempts.map(({ reason }) => reason),
          ['connect_failed', 'ok'],
        )
      })
    }
  }

  test('is the error, outside in, when nobody else is left', async (t) => {
    const { dispatcher } = engine(t, { addresses: [REFUSED_PORT] })

    const error = await request('http://voting/', { dispatcher, method: 'POST', body: 'x' }).catch((e: unknown) => e)

    assert.ok(error instanceof Error)
    assert.equal(error.message, `voting: 5 attempts failed, last on 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1`)
    const { code, service, endpoint, attempts, reason, cause } = error as never as Record<string, unknown>
    assert.deepEqual(
      [code, service, endpoint, attempts, reason],
      ['INMESH_ATTEMPTS_FAILED', 'voting', '127.0.0.1:1', 5, 'connect_failed'],
    )
    assert.equal((cause as { code: string }).code, 'ECONNREFUSED')
  })

  test('has a message of its own even if the cause has none', async (t) => {
    const { dispatcher } = engine(t, { addresses: [{ host: 'localhost', port: REFUSED_PORT }] })

    await assert.rejects(request('http://voting/', { dispatcher }), { message: /last on localhost:1: .*ECONNREFUSED/ })
  })
})

describe('a body that was sent already', () => {
  for (const { bytes, replayed } of [
    { bytes: KEPT_BYTES, replayed: true },
    { bytes: KEPT_BYTES + 1, replayed: false },
  ]) {
    test(`is ${replayed ? '' : 'not '}sent again from a stream of ${bytes} bytes`, async (t) => {
      const sick = await serve(t, answering(503))
      const well = await serve(t, async (req, res) => void res.end(String((await bytesOf(req)).length)))
      const { dispatcher } = engine(t, { addresses: [sick, well] })
      const body = Readable.from(Array.from({ length: 2 }, (_, i) => Buffer.alloc(i === 0 ? bytes - 10 : 10)))

      const answer = await request('http://voting/', { dispatcher, method: 'PUT', body })

      assert.equal(answer.statusCode, replayed ? 200 : 503)
      assert.equal(await answer.body.text(), replayed ? String(bytes) : '503')
    })
  }

  test('says so in the error when it is too long to be sent again', async (t) => {
    const sick = await serve(t, async (req) => {
      await bytesOf(req)
      req.socket.resetAndDestroy()
    })
    const { dispatcher } = engine(t, { addresses: [sick, REFUSED_PORT] })
    const body = Readable.from([Buffer.alloc(KEPT_BYTES + 1)])

    await assert.rejects(request('http://voting/', { dispatcher, method: 'PUT', body }), {
      code: 'INMESH_ATTEMPTS_FAILED',
      message: /1 attempt failed, on .*too much of its body was sent to send it again/,
    })
  })

  test('is never sent again in a POST', async (t) => {
    let requests = 0
    const sick = await serve(t, async (req) => {
      requests++
      await bytesOf(req)
      req.socket.resetAndDestroy()
    })
    const { dispatcher } = engine(t, { addresses: [sick, sick.port] })

    for (const body of ['x', Buffer.from('x'), Readable.from(['x'])]) {
      await assert.rejects(request('http://voting/', { dispatcher, method: 'POST', body }), {
        code: 'INMESH_ATTEMPTS_FAILED',
        reason: 'reset',
      })
    }

    assert.equal(requests, 3)
  })

  test('fails the call with its own error, unchanged, and blames nobody', async (t) => {
    const server = await serve(t, echoing)
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    const mine = Object.assign(new Error('disk gone'), { code: 'ENOENT' })

    for (const method of ['PUT', 'POST'] as const) {
      const body = new Readable({
        read() {
          this.push('x')
          this.destroy(mine)
        },
      })
      await assert.rejects(request('http://voting/', { dispatcher, method, body }), mine)
      assert.equal(watch.last.reason, 'body_failed')
    }
  })

  test('that fails under fetch is told from a caller that leaves', async (t) => {
    const server = await serve(t, echoing)
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    const fetch = createFetch(dispatcher)
    const mine = new Error('disk gone')
    const half = (end: (controller: ReadableStreamDefaultController) => void) =>
      new ReadableStream({
        start: (controller) => controller.enqueue(Buffer.from('x')),
        pull: end,
      })

    for (const method of ['PUT', 'POST'] as const) {
      const failing = { method, body: half((controller) => controller.error(mine)), duplex: 'half' } as const
      await assert.rejects(fetch('http://voting/', failing), { cause: mine })
      assert.equal(watch.last.reason, 'body_failed')

      const signalled = { ...failing, body: half((controller) => controller.error(mine)), signal: new AbortController().signal }
      await assert.rejects(fetch(new Request('http://voting/', signalled)), { cause: mine })
      assert.equal(watch.last.reason, 'body_failed')

      const leaves = new AbortController()
      const left = { method, body: half(() => leaves.abort(mine)), duplex: 'half', signal: leaves.signal } as const
      await assert.rejects(fetch('http://voting/', left), mine)
      assert.equal(watch.last.reason, 'cancelled')
    }
  })

  test('that fails while there is no endpoint fails the call, not the process', async (t) => {
    const { dispatcher, watch } = engine(t, { addresses: [] })
    const mine = new Error('disk gone')

    for (const method of ['PUT', 'POST'] as const) {
      const body = new PassThrough()
      const answer = request('http://voting/', { dispatcher, method, body })
      body.destroy(mine)
      await assert.rejects(answer, mine)
      assert.equal(watch.last.reason, 'body_failed')
    }
  })
})

describe('an endpoint that breaks off', () => {
  test('before it answers: an idempotent call goes to another', async (t) => {
    const sick = await raw(t, (socket) => socket.resetAndDestroy())
    const shut = await raw(t, (socket) => socket.end())
    const half = await raw(t, (socket) => socket.end('HTTP/1.1 200 OK\r\nconte'))
    const well = await serve(t, answering(200))

    for (const server of [sick, shut, half]) {
      const { dispatcher, watch } = engine(t, { addresses: [server, well] })
      const { statusCode, body } = await request('http://voting/', { dispatcher })
      await body.dump()
      assert.equal(statusCode, 200)
      assert.equal(watch.last.attempts[0]?.reason, 'reset')
    }
  })

  test("before it answers: any other call fails, and the cause is undici's", async (t) => {
    const sick = await raw(t, (socket) => socket.end())
    const { dispatcher } = engine(t, { addresses: [sick, REFUSED_PORT] })

    const error = (await request('http://voting/', { dispatcher, method: 'POST' }).catch((e: unknown) => e)) as Error

    assert.equal(error.message, `voting: 1 attempt failed, on 127.0.0.1:${sick.port}: other side closed`)
    assert.equal((error.cause as { code: string }).code, 'UND_ERR_SOCKET')
  })

  const broken: Readonly<Record<string, { readonly answer: string; readonly error: object; readonly reset?: true }>> = {
    'less than its content-length': {
      answer: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhell',
      error: { code: 'UND_ERR_SOCKET' },
    },
    'less than its content-length, and says that it will close': {
      answer: 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhell',
      error: { code: 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' },
    },
    'a chunk that is cut': {
      answer: 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel',
      error: { code: 'UND_ERR_SOCKET' },
    },
    'a chunk that is cut, and says that it will close': {
      answer: 'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel',
      error: { name: 'HTTPParserError', message: /Invalid EOF state/ },
    },
    'a body that is reset': {
      answer: 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhell',
      // which of the two depends on what the socket reads first
      error: { code: /^(ECONNRESET|UND_ERR_SOCKET)$/ },
      reset: true,
    },
  }

  for (const [name, { answer, error, reset }] of Object.entries(broken)) {
    test(`in the middle: ${name}: the body fails with undici's error and nothing is sent again`, async (t) => {
      const sick = await raw(t, (socket) => {
        if (reset) socket.write(answer, () => setImmediate(() => socket.resetAndDestroy()))
        else socket.end(answer)
      })
      const { dispatcher, watch } = engine(t, { addresses: [sick, REFUSED_PORT] })

      const { statusCode, body } = await request('http://voting/', { dispatcher })
      await assert.rejects(body.text(), error)

      assert.equal(statusCode, 200)
      assert.equal(watch.last.reason, 'broken_off')
      assert.equal(watch.last.attempts.length, 1)
    })
  }

  test('with garbage: the call fails at once, since that endpoint does not speak HTTP', async (t) => {
    const sick = await raw(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'))
    const { dispatcher, watch } = engine(t, { addresses: [sick, REFUSED_PORT] })

    const error = (await request('http://voting/', { dispatcher }).catch((e: unknown) => e)) as Error

    assert.match(error.message, /^voting: 1 attempt failed, on 127\.0\.0\.1:\d+: Response does not match the HTTP\/1\.1 protocol/)
    assert.equal((error.cause as Error).name, 'HTTPParserError')
    assert.equal(watch.last.reason, 'malformed')
  })

  test('with headers without end: the call fails', async (t) => {
    const sick = await raw(t, (socket) => {
      socket.write('HTTP/1.1 200 OK\r\n')
      for (let i = 0; i < 100; i++) socket.write(`x-${i}: ${'x'.repeat(1_000)}\r\n`)
    })
    const { dispatcher, watch } = engine(t, { addresses: [sick, REFUSED_PORT] })

    const error = (await request('http://voting/', { dispatcher }).catch((e: unknown) => e)) as Error

    assert.equal((error.cause as { code: string }).code, 'UND_ERR_HEADERS_OVERFLOW')
    assert.equal(watch.last.reason, 'malformed')
  })
})

describe('no endpoint', () => {
  test('fails after three seconds, with the counts', async (t) => {
    const clock = new VirtualClock()
    const { dispatcher, watch } = engine(t, { addresses: [], clock })
    const refused = assert.rejects(request('http://voting/', { dispatcher }), {
      name: 'MeshError',
      code: 'INMESH_NO_ENDPOINT',
      message: 'voting: no endpoint (0 of 0 ready)',
      attempts: 0,
    })

    clock.advance(2_999)
    assert.equal(watch.last.reason, undefined)
    clock.advance(1)

    await refused
    assert.equal(watch.last.reason, 'no_endpoint')
    await assert.rejects(request('http://voting/', { dispatcher }), { code: 'INMESH_NO_ENDPOINT' })
  })

  test('refuses when every gate does', async (t) => {
    const never = { acquire: () => false, judge() {}, release() {}, shutUntil: 0 }
    const { dispatcher } = engine(t, { addresses: [REFUSED_PORT], gate: () => never })

    await assert.rejects(request('http://voting/', { dispatcher }), {
      code: 'INMESH_REFUSED',
      message: 'voting: every endpoint refused (1 of 1 ready, 0 in flight)',
    })
  })
})

test('a callback of the application that throws ends its call with what it threw', async (t) => {
  const server = await serve(t, (_req, res) => res.end('hello'))
  const { dispatcher, watch } = engine(t, { addresses: [server, REFUSED_PORT] })

  for (const name of ['onRequestStart', 'onResponseStart', 'onResponseData', 'onResponseEnd'] as const) {
    const mine = new Error(name)
    const errors: Error[] = []
    const over = new Promise<void>((resolve) => {
      const handler = {
        onRequestStart() {},
        onResponseStart() {},
        onResponseData() {},
        onResponseEnd() {},
        onResponseError: (_: unknown, error: Error) => {
          errors.push(error)
          resolve()
        },
        [name]: () => {
          throw mine
        },
      }
      dispatcher.dispatch({ origin: 'http://voting', path: '/', method: 'GET' }, handler)
    })
    await over

    assert.deepEqual(errors, [mine])
    assert.ok(watch.last.attempts.length <= 1)
  }
})

test('a server that dies under load loses no idempotent call', async (t) => {
  const dying = await serve(t, (_req, res) => void setTimeout(() => res.end('x'), 5))
  const well = await serve(t, (_req, res) => res.end('x'))
  const { dispatcher, watch } = engine(t, { addresses: [dying, well] })
  let over = false
  let calls = 0
  const worker = async (): Promise<void> => {
    while (!over) {
      const { statusCode, body } = await request('http://voting/', { dispatcher })
      await body.dump()
      assert.equal(statusCode, 200)
      calls++
    }
  }
  const workers = Array.from({ length: 20 }, worker)
  while (calls < 200) await once(dying.server, 'request')

  for (const socket of dying.connections) socket.resetAndDestroy()
  dying.server.close()
  while (calls < 600) await once(well.server, 'request')
  over = true
  await Promise.all(workers)

  assert.ok(watch.calls.some((call) => call.attempts[0]?.reason === 'connect_failed'))
})
