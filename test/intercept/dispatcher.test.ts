import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { Agent, fetch, getGlobalDispatcher, pipeline, request, setGlobalDispatcher, stream, upgrade } from 'undici'
import { peakEwma } from '../../src/balancer/load/peak-ewma.ts'
import { p2c } from '../../src/balancer/p2c.ts'
import { engine } from '../support/engine.ts'
import { cleanup, serve, serveRaw } from '../support/servers.ts'

const nodeFetch = globalThis.fetch

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of message.setEncoding('utf8')) text += chunk
  return text
}

describe('the ways to call', () => {
  test('undici.request', async (t) => {
    const server = await serve(t, (_req, res) => res.setHeader('x-a', '1').end('hello'))
    const { dispatcher, watch } = engine(t, { addresses: [server] })

    const answer = await request('http://voting/api/vote?choice=1', { dispatcher })

    assert.equal(answer.statusCode, 200)
    assert.equal(answer.headers['x-a'], '1')
    assert.equal(await answer.body.text(), 'hello')
    assert.equal(watch.last.path, '/api/vote?choice=1')
    assert.equal(watch.last.status, 200)
    assert.equal(watch.last.reason, 'ok')
  })

  test('undici.stream', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher } = engine(t, { addresses: [server] })
    const sink = new PassThrough({ encoding: 'utf8' })

    await stream('http://voting/', { dispatcher, method: 'GET', opaque: sink }, ({ opaque }) => opaque as PassThrough)

    assert.equal(sink.read(), 'hello')
  })

  test('undici.pipeline', async (t) => {
    const server = await serve(t, (req, res) => void req.pipe(res))
    const { dispatcher } = engine(t, { addresses: [server] })

    const duplex = pipeline('http://voting/', { dispatcher, method: 'PUT' }, ({ body }) => body)
    duplex.end('there and back')

    let text = ''
    for await (const chunk of duplex.setEncoding('utf8')) text += chunk
    assert.equal(text, 'there and back')
  })

  test('undici.upgrade', async (t) => {
    const server = await serve(t, (_req, res) => res.end())
    server.server.on('upgrade', (_req, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
      socket.pipe(socket)
    })
    const { dispatcher, service } = engine(t, { addresses: [server] })

    const { socket } = await upgrade('http://voting/', { dispatcher, protocol: 'echo' })
    socket.end('ping')

    assert.equal(String((await once(socket, 'data'))[0]), 'ping')
    assert.equal(service.inFlight, 0)
  })

  test('an upgrade that the server does not want fails, and is not made again', async (t) => {
    const server = await serve(t, (_req, res) => res.end())
    const { dispatcher, watch } = engine(t, { addresses: [server] })

    await assert.rejects(upgrade('http://voting/', { dispatcher, protocol: 'echo' }), { message: 'bad upgrade' })

    assert.equal(watch.last.attempts.length, 1)
  })

  test('CONNECT', async (t) => {
    const server = await serve(t, (_req, res) => res.end())
    server.server.on('connect', (req, socket) => {
      socket.write(`HTTP/1.1 200 Established\r\nx-target: ${req.url}\r\n\r\n`)
      socket.pipe(socket)
    })
    const { dispatcher } = engine(t, { addresses: [server] })

    const { statusCode, headers, socket } = await dispatcher.connect({ origin: 'http://voting', path: 'db:5432' })
    socket.end('ping')

    assert.equal(statusCode, 200)
    assert.equal(headers['x-target'], 'db:5432')
    assert.equal(String((await once(socket, 'data'))[0]), 'ping')
  })

  test("undici's fetch", async (t) => {
    const server = await serve(t, async (req, res) => void res.end(`${req.method} ${await textOf(req)}`))
    const { dispatcher } = engine(t, { addresses: [server] })

    assert.equal(await (await fetch('http://voting/', { dispatcher })).text(), 'GET ')
    assert.equal(await (await fetch('http://voting/', { dispatcher, method: 'POST', body: 'hello' })).text(), 'POST hello')
  })

  test("Node's own fetch, whose handlers are of the old shape", async (t) => {
    const server = await serve(t, async (req, res) => void res.setHeader('x-a', '1').end(`${req.method} ${await textOf(req)}`))
    const { dispatcher } = engine(t, { addresses: [server] })

    const answer = await nodeFetch('http://voting/', { method: 'POST', body: 'hello', dispatcher } as never)

    assert.equal(answer.headers.get('x-a'), '1')
    assert.equal(answer.statusText, 'OK')
    assert.equal(await answer.text(), 'POST hello')
  })

  test('everything, once it is the global dispatcher', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const before = getGlobalDispatcher()
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    cleanup(t, () => setGlobalDispatcher(before))
    setGlobalDispatcher(dispatcher)

    assert.equal(await (await nodeFetch('http://voting/')).text(), 'hello')
    assert.equal(await (await fetch('http://voting/')).text(), 'hello')
    assert.equal(await (await request('http://voting/')).body.text(), 'hello')
    assert.equal(watch.calls.length, 3)
  })

  test('an origin that is a URL', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher } = engine(t, { addresses: [server] })

    const answer = await dispatcher.request({ origin: new URL('http://voting/'), path: '/', method: 'GET' })

    assert.equal(await answer.body.text(), 'hello')
  })

  test('a callback in place of a promise', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher } = engine(t, { addresses: [server] })
    const answered = new Promise<string>((resolve, reject) =>
      dispatcher.request({ origin: 'http://voting', path: '/', method: 'GET' }, (error, data) =>
        error ? reject(error) : resolve(data.body.text()),
      ),
    )

    assert.equal(await answered, 'hello')
  })
})

describe('what a server hears', () => {
  test("is called by the service's name", async (t) => {
    const server = await serve(t, (req, res) => res.end(req.headers.host))
    const { dispatcher } = engine(t, { addresses: [server] })

    for (const origin of ['http://voting', 'http://voting:8080', 'http://VOTING']) {
      const { body } = await request(`${origin}/`, { dispatcher })
      assert.equal(await body.text(), origin.slice(7).toLowerCase())
    }
  })

  test("is called what the application's Host header says", async (t) => {
    const server = await serve(t, (req, res) => res.end(req.headers.host))
    const { dispatcher } = engine(t, { addresses: [server] })

    const { body } = await request('http://voting/', { dispatcher, headers: { host: 'other' } })

    assert.equal(await body.text(), 'other')
  })

  test('gets headers in any shape that undici takes, also when it is asked second', async (t) => {
    const broken = await serve(t, (_req, res) => res.writeHead(503).end())
    const server = await serve(t, (req, res) => res.end(`${req.headers['x-a']} ${req.headers['x-b']}`))
    const { dispatcher } = engine(t, { addresses: [broken, server] })
    const pairs: [string, string][] = [
      ['x-a', '1'],
      ['X-B', '2'],
    ]

    for (const headers of [
      Object.fromEntries(pairs),
      pairs.flat(),
      new Map(pairs),
      new Headers(pairs),
      new Set(pairs),
      pairs.values(),
    ]) {
      const { body } = await request('http://voting/', { dispatcher, headers: headers as never })
      assert.equal(await body.text(), '1 2')
    }
  })

  test('learns from a header that it is asked a second time, and of no header the first time', async (t) => {
    const seen: unknown[] = []
    const broken = await serve(t, (req, res) => {
      seen.push(req.headers['x-envoy-attempt-count'])
      res.writeHead(503).end()
    })
    const server = await serve(t, (req, res) => {
      seen.push(req.headers['x-envoy-attempt-count'])
      res.end()
    })
    const { dispatcher } = engine(t, { addresses: [broken, server] })

    await (await request('http://voting/', { dispatcher })).body.dump()

    assert.deepEqual(seen, [undefined, '2'])
  })
})

describe('a host that is not ours', () => {
  test('is passed through untouched and counted', async (t) => {
    const server = await serve(t, (req, res) => res.end(req.headers.host))
    const { dispatcher, egress, watch } = engine(t, { addresses: [] })

    const { body } = await request(server.origin, { dispatcher })

    assert.equal(await body.text(), `127.0.0.1:${server.port}`)
    assert.deepEqual(egress, [server.origin])
    assert.equal(watch.calls.length, 0)
  })

  test('is passed through from handlers of the old shape, too', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher } = engine(t, { addresses: [] })

    assert.equal(await (await nodeFetch(server.origin, { dispatcher } as never)).text(), 'hello')
  })

  test('does not make the mesh forget its own connections, however many there are', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher } = engine(t, { addresses: [server] })
    await (await request('http://voting/', { dispatcher })).body.dump()

    const swallow = { onRequestStart() {}, onResponseStart() {}, onResponseData() {}, onResponseEnd() {}, onResponseError() {} }
    for (let i = 0; i < 1_500; i++)
      dispatcher.dispatch({ origin: `http://h${i}.invalid`, path: 'no slash', method: 'GET' }, swallow)
    await (await request('http://voting/', { dispatcher })).body.dump()

    assert.ok(server.accepted() <= 2, `${server.accepted()} connections`)
  })

  test('still answers after the mesh is closed', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher, service } = engine(t, { addresses: [] })
    await dispatcher.close()

    const { body } = await request(server.origin, { dispatcher, reset: true })

    assert.equal(await body.text(), 'hello')
    assert.equal(service.inFlight, 0)
  })
})

describe('invalid arguments', () => {
  const bad: Readonly<Record<string, object>> = {
    'a method': { method: 'NO METHOD' },
    'a header': { headers: { 'bad header': '1' } },
    'headers that are no pairs': {
      headers: [
        ['a', 'b'],
        ['c', 'd'],
      ],
    },
    'an odd list of headers': { headers: ['a'] },
    'a body': { method: 'PUT', body: 42 },
    'the timeout': { headersTimeout: -1 },
    'a content-length that is not the length': { method: 'PUT', body: 'abc', headers: { 'content-length': '5' } },
    'an expectation': { headers: { expect: '100-continue' } },
  }

  for (const [name, options] of Object.entries(bad)) {
    test(`give undici's own error, unchanged and at once: ${name}`, async (t) => {
      const server = await serve(t, (_req, res) => res.end())
      const { dispatcher, watch, service } = engine(t, { addresses: [server, server.port + 1] })
      const agent = new Agent()
      const plain = await request(server.origin, { ...options, dispatcher: agent }).catch((error: unknown) => error)
      await agent.close()

      const meshed = await request('http://voting/', { dispatcher, ...options }).catch((error: unknown) => error)

      assert.ok(plain instanceof Error && meshed instanceof Error)
      assert.deepEqual([meshed.name, meshed.message], [plain.name, plain.message])
      assert.equal(watch.last.reason, 'body_failed')
      assert.equal(watch.last.attempts.length, 1)
      assert.equal(service.inFlight, 0)
    })
  }

  test('are complained of when there is not even a handler or an origin', (t) => {
    const { dispatcher } = engine(t, { addresses: [] })
    const errors: Error[] = []
    const handler = { onRequestStart() {}, onResponseError: (_: unknown, error: Error) => void errors.push(error) }

    assert.throws(() => dispatcher.dispatch({ origin: 'http://voting', path: '/', method: 'GET' }, null as never), {
      code: 'UND_ERR_INVALID_ARG',
    })
    dispatcher.dispatch({ path: '/', method: 'GET' } as never, handler as never)
    dispatcher.dispatch(null as never, handler as never)

    assert.deepEqual(
      errors.map((error) => (error as { code?: string }).code),
      ['UND_ERR_INVALID_ARG', 'UND_ERR_INVALID_ARG'],
    )
  })
})

describe('balancing', () => {
  test('uses every endpoint', async (t) => {
    const hits = [0, 0, 0]
    const servers = await Promise.all(
      hits.map((_, i) =>
        serve(t, (_req, res) => {
          hits[i] = (hits[i] as number) + 1
          res.end()
        }),
      ),
    )
    const { dispatcher } = engine(t, { addresses: servers, balancer: p2c({ load: peakEwma() }) })

    for (let i = 0; i < 10; i++) {
      await Promise.all(Array.from({ length: 12 }, async () => (await request('http://voting/', { dispatcher })).body.dump()))
    }

    assert.equal(
      hits.reduce((a, b) => a + b),
      120,
    )
    for (const hit of hits) assert.ok(hit > 10, `hits: ${hits}`)
  })

  test('keeps connections and uses them again', async (t) => {
    const server = await serve(t, (_req, res) => res.end('x'))
    const { dispatcher } = engine(t, { addresses: [server] })

    for (let i = 0; i < 20; i++) await (await request('http://voting/', { dispatcher })).body.text()

    // as undici: one that has just answered is not free before the loop has turned
    assert.ok(server.accepted() <= 2, `${server.accepted()} connections`)
  })
})

describe('endpoints that come and go', () => {
  test('finish what is in flight when they leave, then close', async (t) => {
    const held: (() => void)[] = []
    const old = await serve(t, (_req, res) => void held.push(() => res.end('old')))
    const fresh = await serve(t, (_req, res) => res.end('new'))
    const { dispatcher, update } = engine(t, { addresses: [old] })
    const inFlight = request('http://voting/', { dispatcher })
    while (held.length === 0) await new Promise(setImmediate)

    update([fresh])
    const { body } = await request('http://voting/', { dispatcher })
    assert.equal(await body.text(), 'new')
    held[0]?.()

    assert.equal(await (await inFlight).body.text(), 'old')
    await old.idle()
  })

  test('work when they come back', async (t) => {
    const one = await serve(t, (_req, res) => res.end('one'))
    const two = await serve(t, (_req, res) => res.end('two'))
    const { dispatcher, update } = engine(t, { addresses: [one] })
    const ask = async () => (await request('http://voting/', { dispatcher })).body.text()

    const answers = [await ask()]
    update([two])
    answers.push(await ask())
    update([one])
    answers.push(await ask())

    assert.deepEqual(answers, ['one', 'two', 'one'])
  })

  test('are waited for', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher, update } = engine(t, { addresses: [] })
    const answer = request('http://voting/', { dispatcher, method: 'POST', body: 'x' })
    await new Promise(setImmediate)

    update([server])

    assert.equal(await (await answer).body.text(), 'hello')
  })
})

describe('the end of the mesh', () => {
  test('waits for the calls in flight, refuses new ones, and leaves no socket', async (t) => {
    const held: (() => void)[] = []
    const server = await serve(t, (_req, res) => void held.push(() => res.end('late')))
    const { dispatcher } = engine(t, { addresses: [server] })
    const inFlight = request('http://voting/', { dispatcher })
    while (held.length === 0) await new Promise(setImmediate)

    const closing = dispatcher.close()
    await assert.rejects(request('http://voting/', { dispatcher }), { code: 'INMESH_CLOSED', message: 'mesh is closed' })
    held[0]?.()

    assert.equal(await (await inFlight).body.text(), 'late')
    await closing
    await server.idle()
    await dispatcher.close()
  })

  test('can be told by a callback', async (t) => {
    const { dispatcher } = engine(t, { addresses: [] })

    await new Promise<void>((resolve) => dispatcher.close(resolve))
    await new Promise<void>((resolve) => dispatcher.destroy(resolve))
  })

  test('fails the calls in flight at once when it is destroyed', async (t) => {
    const server = await serve(t, () => {})
    const gone = await serve(t, (_req, res) => res.end())
    const { dispatcher, update, watch } = engine(t, { addresses: [gone] })
    await (await request('http://voting/', { dispatcher })).body.dump()
    update([server])
    const inFlight = request('http://voting/', { dispatcher })
    await once(server.server, 'request')

    const destroyed = dispatcher.destroy()

    await assert.rejects(inFlight, { code: 'INMESH_CLOSED', message: 'mesh is destroyed' })
    await destroyed
    await assert.rejects(request('http://voting/', { dispatcher }), { code: 'INMESH_CLOSED' })
    await Promise.all([server.idle(), gone.idle()])
    assert.equal(watch.last.reason, 'closed')
  })

  test('fails them with the error that was given', async (t) => {
    const server = await serve(t, () => {})
    const { dispatcher } = engine(t, { addresses: [server] })
    const inFlight = request('http://voting/', { dispatcher })
    const mine = new Error('shutting down')

    await Promise.all([assert.rejects(inFlight, mine), dispatcher.destroy(mine)])
  })

  test('does not have to be called: an idle mesh lets its process end', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const support = new URL('../support/idle-client.ts', import.meta.url)

    const child = execFile(process.execPath, [support.pathname, String(server.port)])
    let output = ''
    child.stdout?.on('data', (text) => (output += text))
    const [code] = await once(child, 'exit')

    assert.equal(code, 0)
    assert.equal(output, 'hello\n')
  })
})

test('speaks to a server over raw sockets as plain undici does', async (t) => {
  const heard: string[] = []
  const server = await serveRaw(t, (socket) =>
    socket.on('data', (data) => {
      heard.push(String(data))
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    }),
  )
  const { dispatcher } = engine(t, { addresses: [server] })

  await (await request('http://voting/a?b', { dispatcher, headers: { 'x-a': '1' } })).body.dump()

  assert.deepEqual(heard, ['GET /a?b HTTP/1.1\r\nhost: voting\r\nconnection: keep-alive\r\nx-a: 1\r\n\r\n'])
})
