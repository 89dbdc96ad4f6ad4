import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import { describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { fetch, request } from 'undici'
import { engine, until } from '../support/engine.ts'
import { serve, serveH2, serveH2c, serveTls, type TestServer, testCertificate } from '../support/servers.ts'

const nodeFetch = globalThis.fetch
const tls = { ca: testCertificate.cert }

function sessionsOf(server: TestServer): ServerHttp2Session[] {
  const sessions: ServerHttp2Session[] = []
  ;(server.server as Http2Server).on('session', (session) => sessions.push(session))
  return sessions
}

function onStream(server: TestServer, fn: (stream: ServerHttp2Stream, path: string) => void): void {
  ;(server.server as Http2Server).removeAllListeners('request')
  ;(server.server as Http2Server).on('stream', (stream, headers) => {
    stream.on('error', () => {})
    fn(stream, String(headers[':path']))
  })
}

describe('HTTP/2 over TLS', () => {
  test("is spoken with those who offer it, under the service's name", async (t) => {
    const names: unknown[] = []
    const server = await serveH2(t, (req, res) => res.end(`${req.httpVersion} ${req.headers[':authority']}`))
    server.server.on('secureConnection', (socket: TLSSocket & { servername: string }) => names.push(socket.servername))
    const { dispatcher } = engine(t, { addresses: [server], tls })

    const { body } = await request('https://voting/', { dispatcher })

    assert.equal(await body.text(), '2.0 voting')
    assert.deepEqual(names, ['voting'])
  })

  test('is not spoken with the others', async (t) => {
    const server = await serveTls(t, (req, res) => res.end(req.httpVersion))
    const { dispatcher } = engine(t, { addresses: [server], tls })

    const { body } = await request('https://voting/', { dispatcher })

    assert.equal(await body.text(), '1.1')
  })

  test('is not spoken for handlers of the old shape', async (t) => {
    const server = await serveH2(t, (req, res) => res.end(req.httpVersion))
    const { dispatcher } = engine(t, { addresses: [server], tls })

    // the fetch built into Node 26 has handlers of the new shape
    const spoken = Number.parseInt(process.versions.undici ?? '', 10) < 8 ? '1.1' : '2.0'
    assert.equal(await (await nodeFetch('https://voting/', { dispatcher } as never)).text(), spoken)
    assert.equal(await (await fetch('https://voting/', { dispatcher })).text(), '2.0')
  })

  test('carries many calls over one connection', async (t) => {
    const server = await serveH2(t, (req, res) => void req.pipe(res))
    const { dispatcher } = engine(t, { addresses: [server], tls })

    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        const { body } = await request('https://voting/', { dispatcher, method: 'POST', body: `${i}` })
        return body.text()
      }),
    )

    assert.deepEqual(
      answers,
      answers.map((_, i) => `${i}`),
    )
    assert.ok(server.accepted() <= 4, `${server.accepted()} connections`)
  })

  test('fails when the certificate is not to be trusted, or names somebody else', async (t) => {
    const server = await serveH2(t, (_req, res) => res.end())
    const unknown = engine(t, { addresses: [server] })
    const other = engine(t, { addresses: [server], tls: { ...tls, servername: 'somebody.else' } })

    await assert.rejects(request('https://voting/', { dispatcher: unknown.dispatcher }), {
      code: 'INMESH_ATTEMPTS_FAILED',
      reason: 'connect_failed',
      message: /self-signed certificate/,
    })
    await assert.rejects(request('https://voting/', { dispatcher: other.dispatcher }), { message: /somebody\.else/ })
  })

  test('goes to another endpoint after a 503, with its body', async (t) => {
    const sick = await serveH2(t, (_req, res) => {
      res.writeHead(503)
      res.end()
    })
    const well = await serveH2(t, (req, res) => {
      res.setHeader('x-attempt', String(req.headers['x-envoy-attempt-count']))
      req.pipe(res)
    })
    const { dispatcher } = engine(t, { addresses: [sick, well], tls })

    const { headers, body } = await request('https://voting/', { dispatcher, method: 'PUT', body: 'hello' })

    assert.equal(await body.text(), 'hello')
    assert.equal(headers['x-attempt'], '2')
  })
})

describe('HTTP/2 by prior knowledge', () => {
  test('is spoken without TLS, also for handlers of the old shape', async (t) => {
    const server = await serveH2c(t, (req, res) => res.end(`${req.httpVersion} ${req.headers[':authority']}`))
    const { dispatcher } = engine(t, { addresses: [server], protocol: 'h2c' })

    assert.equal(await (await request('http://voting:8080/', { dispatcher })).body.text(), '2.0 voting:8080')
    assert.equal(await (await nodeFetch('http://voting/', { dispatcher } as never)).text(), '2.0 voting')
  })

  test('has trailers, answers before the answer and 100-continue', async (t) => {
    const server = await serveH2c(t, () => {})
    ;(server.server as Http2Server).removeAllListeners('request')
    ;(server.server as Http2Server).on('checkContinue', (req, res) => {
      res.writeEarlyHints({ link: '</a.css>; rel=preload' })
      res.writeContinue()
      res.addTrailers({ 'x-sum': '42' })
      req.pipe(res)
    })
    const { dispatcher } = engine(t, { addresses: [server], protocol: 'h2c' })
    const infos: number[] = []

    const { body, trailers } = await request('http://voting/', {
      dispatcher,
      method: 'POST',
      body: 'hello',
      expectContinue: true,
      onInfo: ({ statusCode }) => void infos.push(statusCode),
    })

    assert.equal(await body.text(), 'hello')
    assert.deepEqual({ ...trailers }, { 'x-sum': '42' })
    assert.ok(infos.includes(103), `${infos}`)
  })

  test('waits for a slow reader', async (t) => {
    let written = 0
    const server = await serveH2c(t, () => {})
    onStream(server, (stream) => {
      stream.respond({ ':status': 200 })
      const more = (): void => {
        while (written < 1024 * 65_536) {
          written += 65_536
          if (!stream.write(Buffer.alloc(65_536))) return
        }
        stream.end()
      }
      stream.on('drain', more)
      more()
    })
    const { dispatcher } = engine(t, { addresses: [server], protocol: 'h2c' })

    const { body } = await request('http://voting/', { dispatcher })
    await once(body, 'readable')
    let before = -1
    while (before !== written) {
      before = written
      for (let i = 0; i < 100; i++) await new Promise(setImmediate)
    }

    assert.ok(written < 8 * 1024 * 1024, `${written} bytes`)
    let read = 0
    for await (const chunk of body) read += chunk.length
    assert.equal(read, written)
  })
})

describe('an HTTP/2 server that says no', () => {
  test('REFUSED_STREAM: any call goes to another endpoint, as it was not seen', async (t) => {
    const refusing = await serveH2c(t, () => {})
    onStream(refusing, (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
    const well = await serveH2c(t, (req, res) => void req.pipe(res))
    const { dispatcher, watch } = engine(t, { addresses: [refusing, well], protocol: 'h2c' })

    const { body } = await request('http://voting/', { dispatcher, method: 'POST', body: 'hello' })

    assert.equal(await body.text(), 'hello')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['not_sent', 'ok'],
    )
  })

  for (const [name, code] of [
    ['INTERNAL_ERROR', constants.NGHTTP2_INTERNAL_ERROR],
    ['CANCEL', constants.NGHTTP2_CANCEL],
    ['NO_ERROR', constants.NGHTTP2_NO_ERROR],
  ] as const) {
    test(`RST_STREAM with ${name}: an idempotent call goes to another endpoint, any other fails`, async (t) => {
      const sick = await serveH2c(t, () => {})
      onStream(sick, (stream) => stream.close(code))
      const well = await serveH2c(t, (_req, res) => res.end('well'))
      const { dispatcher, watch } = engine(t, { addresses: [sick, well], protocol: 'h2c' })

      const { body } = await request('http://voting/', { dispatcher })

      assert.equal(await body.text(), 'well')
      assert.equal(watch.last.attempts[0]?.reason, 'reset')
      await assert.rejects(request('http://voting/', { dispatcher, method: 'POST' }), {
        code: 'INMESH_ATTEMPTS_FAILED',
        reason: 'reset',
      })
    })
  }

  test('RST_STREAM in the body: the body fails, the connection stays', async (t) => {
    const sick = await serveH2c(t, () => {})
    onStream(sick, (stream, path) => {
      stream.respond({ ':status': 200 })
      if (path === '/well') return void stream.end('well')
      stream.write('beginning', () => setImmediate(() => stream.destroy(new Error('crash'))))
    })
    const { dispatcher, watch } = engine(t, { addresses: [sick], protocol: 'h2c' })

    const { body } = await request('http://voting/sick', { dispatcher })
    await assert.rejects(body.text(), { code: 'ERR_HTTP2_STREAM_ERROR' })
    assert.equal(watch.last.reason, 'broken_off')

    assert.equal(await (await request('http://voting/well', { dispatcher })).body.text(), 'well')
    assert.equal(sick.accepted(), 1)
  })

  test('GOAWAY: what it has seen is answered, and what comes after does not wait for that', async (t) => {
    const server = await serveH2c(t, () => {})
    const sessions = sessionsOf(server)
    const held: ServerHttp2Stream[] = []
    onStream(server, (stream, path) => {
      if (path === '/held') return void held.push(stream)
      stream.respond({ ':status': 200 })
      stream.end(path)
    })
    const { dispatcher, watch } = engine(t, { addresses: [server], protocol: 'h2c' })
    const before = request('http://voting/held', { dispatcher, method: 'POST', body: 'x' })
    await until(() => held.length === 1)
    const [session] = sessions as [ServerHttp2Session]
    session.goaway(constants.NGHTTP2_NO_ERROR, held[0]?.id)
    await new Promise<void>((resolve) => session.ping(() => resolve()))

    const after = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const { body } = await request('http://voting/after', { dispatcher, method: 'POST', body: 'x' })
        return body.text()
      }),
    )
    held[0]?.respond({ ':status': 200 })
    held[0]?.end('before')

    assert.equal(await (await before).body.text(), 'before')
    assert.deepEqual(
      after,
      Array.from({ length: 5 }, () => '/after'),
    )
    for (const call of watch.calls) assert.equal(call.reason, 'ok')
  })

  test('GOAWAY: what it has not seen goes to another endpoint, whatever the method', async (t) => {
    const leaving = await serveH2c(t, () => {})
    // the same to every connection: undici tries once more by itself
    ;(leaving.server as Http2Server).on('session', (session) => session.close())
    const well = await serveH2c(t, (req, res) => void req.pipe(res))
    const { dispatcher, watch } = engine(t, { addresses: [leaving, well], protocol: 'h2c' })

    const { body } = await request('http://voting/', { dispatcher, method: 'POST', body: 'hello' })

    assert.equal(await body.text(), 'hello')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['not_sent', 'ok'],
    )
  })

  test('a connection that is cut: idempotent calls on it go elsewhere', async (t) => {
    const sick = await serveH2c(t, () => {})
    let streams = 0
    onStream(sick, () => streams++)
    const well = await serveH2c(t, (_req, res) => res.end('well'))
    const { dispatcher, watch } = engine(t, { addresses: [sick, well], protocol: 'h2c' })
    const answers = Array.from({ length: 10 }, async () => (await request('http://voting/', { dispatcher })).body.text())
    await until(() => streams === 10)

    for (const socket of sick.connections) socket.resetAndDestroy()

    assert.deepEqual(
      await Promise.all(answers),
      Array.from({ length: 10 }, () => 'well'),
    )
    for (const call of watch.calls) assert.equal(call.attempts[0]?.reason, 'reset')
  })
})

describe('a call over HTTP/2 that is given up', () => {
  test('ends its stream alone', async (t) => {
    const closed: string[] = []
    const server = await serveH2c(t, () => {})
    onStream(server, (stream, path) => {
      stream.on('close', () => closed.push(path))
      stream.resume()
      if (path !== '/other') return
      stream.respond({ ':status': 200 })
      stream.end('other')
    })
    const { dispatcher, service } = engine(t, { addresses: [server], protocol: 'h2c', perTryTimeoutMs: 100 })
    const aborter = new AbortController()
    const mine = new Error('never mind')
    const answer = request('http://voting/mine', { dispatcher, signal: aborter.signal, method: 'POST', body: 'x' })
    const late = request('http://voting/late', { dispatcher, method: 'POST', body: 'x' })
    late.catch(() => {})
    await until(() => service.inFlight === 2)

    aborter.abort(mine)
    await assert.rejects(answer, mine)
    await assert.rejects(late, { reason: 'try_timeout' })

    assert.equal(await (await request('http://voting/other', { dispatcher })).body.text(), 'other')
    await until(() => closed.includes('/late'))
    assert.equal(server.accepted(), 1)
  })
})

test('HTTP/1.1 over TLS carries the name that the application asks for', async (t) => {
  const names: unknown[] = []
  const server = await serveTls(t, (_req, res) => res.end('hello'))
  server.server.on('secureConnection', (socket: TLSSocket & { servername: string }) => names.push(socket.servername))
  const { dispatcher } = engine(t, { addresses: [server], tls: { ...tls, servername: 'voting' } })
  const ask = async (headers: Record<string, string>) => (await request('https://voting/', { dispatcher, headers })).body.text()

  await ask({})
  await ask({ host: 'localhost' })

  assert.deepEqual(names, ['voting', 'localhost'])
})

test('plain HTTP is not taken for TLS', async (t) => {
  const server = await serve(t, (_req, res) => res.end())
  const { dispatcher } = engine(t, { addresses: [server], tls })

  await assert.rejects(request('https://voting/', { dispatcher }), { code: 'INMESH_ATTEMPTS_FAILED', reason: 'connect_failed' })
})
