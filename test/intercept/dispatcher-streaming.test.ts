import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash, randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { PassThrough, Readable } from 'node:stream'
import { describe, test } from 'node:test'
import { type Dispatcher, request } from 'undici'
import { engine, REFUSED_PORT, until } from '../support/engine.ts'
import { serve, serveRaw } from '../support/servers.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

const MIB = 1024 * 1024

describe('a body on its way', () => {
  test('of 50 MB arrives there and back as it was', async (t) => {
    const server = await serve(t, (req, res) => void req.pipe(res))
    const { dispatcher } = engine(t, { addresses: [server] })
    const sent = createHash('sha256')
    const received = createHash('sha256')
    const block = randomFillSync(Buffer.alloc(64 * 1024))
    const body = Readable.from(
      (function* () {
        for (let i = 0; i < 800; i++) {
          const chunk = Buffer.concat([Buffer.from(`${i}`), block])
          sent.update(chunk)
          yield chunk
        }
      })(),
    )

    const answer = await request('http://voting/', { dispatcher, method: 'PUT', body })
    for await (const chunk of answer.body) received.update(chunk)

    assert.equal(received.digest('hex'), sent.digest('hex'))
  })

  test('waits for a slow reader', async (t) => {
    let written = 0
    const server = await serve(t, (_req, res) => {
      const more = (): void => {
        while (written < 64 * MIB) {
          written += 65_536
          if (!res.write(Buffer.alloc(65_536))) return
        }
        res.end()
      }
      res.on('drain', more)
      more()
    })
    const { dispatcher } = engine(t, { addresses: [server] })

    const { body } = await request('http://voting/', { dispatcher })
    await once(body, 'readable')
    let before = -1
    while (before !== written) {
      before = written
      for (let i = 0; i < 100; i++) await new Promise(setImmediate)
    }

    assert.ok(written < 32 * MIB, `${written} bytes were written while nobody read`)
    let read = 0
    for await (const chunk of body) read += chunk.length
    assert.equal(read, written)
  })

  test('waits for a slow server', async (t) => {
    const held: (() => void)[] = []
    const server = await serve(t, (req, res) => {
      held.push(() => {
        req.resume()
        req.on('end', () => res.end('thanks'))
      })
    })
    const { dispatcher } = engine(t, { addresses: [server] })
    let taken = 0
    const body = Readable.from(
      (function* () {
        while (taken < 64 * MIB) {
          taken += 65_536
          yield Buffer.alloc(65_536)
        }
      })(),
    )

    const answer = request('http://voting/', { dispatcher, method: 'PUT', body })
    await until(() => held.length === 1)
    let before = -1
    while (before !== taken) {
      before = taken
      for (let i = 0; i < 100; i++) await new Promise(setImmediate)
    }

    assert.ok(taken < 32 * MIB, `${taken} bytes were taken while nobody read`)
    held[0]?.()
    assert.equal(await (await answer).body.text(), 'thanks')
  })

  test('flows both ways at once', async (t) => {
    const server = await serve(t, (req, res) => {
      res.flushHeaders()
      req.on('data', (chunk) => res.write(`<${chunk}>`))
      req.on('end', () => res.end())
    })
    const { dispatcher } = engine(t, { addresses: [server] })
    const out = new PassThrough()
    out.write('a')
    const { body } = await request('http://voting/', { dispatcher, method: 'PUT', body: out })
    body.setEncoding('utf8')

    const heard = [String((await once(body, 'data'))[0])]
    out.write('b')
    heard.push(String((await once(body, 'data'))[0]))
    out.end()
    await once(body, 'end')

    assert.deepEqual(heard, ['<a>', '<b>'])
  })

  test('is passed on event by event', async (t) => {
    const held: ((text: string) => void)[] = []
    const server = await serve(t, (_req, res) => {
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write('data: 1\n\n')
      held.push((text) => (text === '' ? res.end() : res.write(text)))
    })
    const { dispatcher } = engine(t, { addresses: [server] })
    const { body } = await request('http://voting/', { dispatcher })
    body.setEncoding('utf8')

    assert.equal((await once(body, 'data'))[0], 'data: 1\n\n')
    held[0]?.('data: 2\n\n')
    assert.equal((await once(body, 'data'))[0], 'data: 2\n\n')
    held[0]?.('')
    await once(body, 'end')
  })
})

describe('what HTTP has besides', () => {
  test('answers before the answer', async (t) => {
    const server = await serve(t, (_req, res) => res.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => res.end('hello')))
    const { dispatcher } = engine(t, { addresses: [server] })
    const infos: number[] = []

    const { statusCode, body } = await request('http://voting/', {
      dispatcher,
      onInfo: (info) => void infos.push(info.statusCode),
    })

    assert.equal(await body.text(), 'hello')
    assert.deepEqual([...infos, statusCode], [103, 200])
  })

  test('trailers', async (t) => {
    const server = await serve(t, (_req, res) => {
      res.writeHead(200, { trailer: 'x-sum' }).write('hello')
      res.addTrailers({ 'x-sum': '42' })
      res.end()
    })
    const { dispatcher } = engine(t, { addresses: [server] })

    const { body, trailers } = await request('http://voting/', { dispatcher })
    await body.text()

    assert.deepEqual({ ...trailers }, { 'x-sum': '42' })
  })

  test('answers without a body', async (t) => {
    const server = await serve(t, (req, res) => res.writeHead(Number(req.url?.slice(1)), { 'x-a': '1' }).end())
    const { dispatcher, watch } = engine(t, { addresses: [server] })

    for (const [method, status] of [
      ['GET', 204],
      ['GET', 304],
      ['HEAD', 200],
    ] as const) {
      const { statusCode, headers, body } = await request(`http://voting/${status}`, { dispatcher, method })
      assert.deepEqual([statusCode, headers['x-a'], await body.text()], [status, '1', ''])
      assert.equal(watch.last.reason, 'ok')
    }
  })

  test('raw headers', async (t) => {
    const server = await serve(t, (_req, res) => res.writeHead(200, ['X-One', '1', 'X-One', '2']).end())
    const { dispatcher } = engine(t, { addresses: [server] })

    const { headers, body } = await request('http://voting/', { dispatcher, responseHeaders: 'raw' })
    await body.dump()

    assert.deepEqual((headers as never as string[]).slice(0, 4), ['X-One', '1', 'X-One', '2'])
  })
})

describe('an abort', () => {
  const mine = new Error('never mind')

  /** What a caller that aborted must see, whenever it did. */
  async function aborted(answer: Promise<unknown>, { service, watch }: ReturnType<typeof engine>): Promise<void> {
    await assert.rejects(answer, mine)
    assert.equal(service.inFlight, 0)
    assert.equal(watch.last.reason, 'cancelled')
  }

  test('before the start', async (t) => {
    const server = await serve(t, (_req, res) => res.end())
    const mesh = engine(t, { addresses: [server] })

    await aborted(request('http://voting/', { dispatcher: mesh.dispatcher, signal: AbortSignal.abort(mine) }), mesh)

    assert.equal(server.accepted(), 0)
    assert.equal(mesh.watch.last.attempts.length, 0)
  })

  test('while it waits for an endpoint', async (t) => {
    const mesh = engine(t, { addresses: [] })
    const aborter = new AbortController()
    const answer = request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })

    aborter.abort(mine)

    await aborted(answer, mesh)
  })

  test('while it connects', async (t) => {
    const silent = await serveRaw(t, (socket) => void socket.resume())
    const mesh = engine(t, { addresses: [silent], connectTimeoutMs: 50 })
    const aborter = new AbortController()
    const answer = request('https://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })
    await once(silent.server, 'connection')

    aborter.abort(mine)

    await aborted(answer, mesh)
  })

  test('in the turn of its call', async (t) => {
    let requests = 0
    const server = await serve(t, (_req, res) => {
      requests++
      res.end()
    })
    const mesh = engine(t, { addresses: [server] })
    const aborter = new AbortController()
    const answer = request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })

    aborter.abort(mine)

    await aborted(answer, mesh)
    await mesh.close()
    assert.equal(requests, 0)
  })

  test('after it was sent', async (t) => {
    const server = await serve(t, () => {})
    const mesh = engine(t, { addresses: [server] })
    const aborter = new AbortController()
    const answer = request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })
    await once(server.server, 'request')

    aborter.abort(mine)

    await aborted(answer, mesh)
    await server.idle()
  })

  test('while its body is sent', async (t) => {
    const server = await serve(t, (req) => void req.resume())
    const mesh = engine(t, { addresses: [server] })

    for (const method of ['PUT', 'POST'] as const) {
      const aborter = new AbortController()
      const body = new PassThrough()
      const answer = request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal, method, body })
      body.write('x')
      await once(server.server, 'request')

      aborter.abort(mine)

      await aborted(answer, mesh)
      assert.equal(body.destroyed, true)
    }
  })

  test('between the head and the body', async (t) => {
    const server = await serve(t, (_req, res) => res.flushHeaders())
    const mesh = engine(t, { addresses: [server] })
    const aborter = new AbortController()
    const { body } = await request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })

    aborter.abort(mine)

    await aborted(body.text(), mesh)
    await server.idle()
  })

  test('while the body is paused', async (t) => {
    const server = await serve(t, (_req, res) => {
      const more = (): void => {
        while (res.write(Buffer.alloc(65_536)));
      }
      res.on('drain', more)
      more()
    })
    const mesh = engine(t, { addresses: [server] })
    const aborter = new AbortController()
    const { body } = await request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })
    await once(body, 'readable')
    await settle()

    aborter.abort(mine)

    await aborted(body.text(), mesh)
    await server.idle()
  })

  test('while it waits to be sent again', async (t) => {
    const sick = await serve(t, (_req, res) => res.writeHead(503, { 'retry-after': '5' }).end())
    const clock = new VirtualClock()
    const mesh = engine(t, { addresses: [sick], clock })
    const aborter = new AbortController()
    const answer = request('http://voting/', { dispatcher: mesh.dispatcher, signal: aborter.signal })
    await until(() => mesh.watch.calls[0]?.attempts.length === 1)
    await settle()

    aborter.abort(mine)

    await aborted(answer, mesh)
    await clock.pass(5_000)
    assert.equal(mesh.watch.last.attempts.length, 1)
  })

  test('after the end is none', async (t) => {
    const server = await serve(t, (_req, res) => res.end('hello'))
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    const aborter = new AbortController()
    const { body } = await request('http://voting/', { dispatcher, signal: aborter.signal })
    assert.equal(await body.text(), 'hello')

    aborter.abort(mine)

    assert.equal(watch.last.reason, 'ok')
    assert.equal(server.connections.size, 1)
  })

  test('by dropping the body ends the connection', async (t) => {
    const server = await serve(t, (_req, res) => void res.write('beginning'))
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    const { body } = await request('http://voting/', { dispatcher })
    body.on('error', () => {})

    body.destroy()

    await server.idle()
    assert.equal(watch.last.reason, 'cancelled')
  })
})

describe("the application's handler", () => {
  /** Writes down all that it hears. */
  function listener(): { readonly heard: string[]; readonly over: Promise<void>; readonly handler: Dispatcher.DispatchHandler } {
    const heard: string[] = []
    let done: () => void
    const over = new Promise<void>((resolve) => {
      done = resolve
    })
    return {
      heard,
      over,
      handler: {
        onRequestStart: () => void heard.push('start'),
        onResponseStart: (_controller, status) => void heard.push(`${status}`),
        onResponseData: (_controller, chunk) => void heard.push(String(chunk)),
        onResponseEnd: () => {
          heard.push('end')
          done()
        },
        onResponseError: (_controller, error) => {
          heard.push(error.message)
          done()
        },
      },
    }
  }

  test('hears of one beginning, one answer and one end, however often the call was sent', async (t) => {
    const refused = REFUSED_PORT
    const sick = await serve(t, (_req, res) => res.writeHead(503).end('sick'))
    const well = await serve(t, (_req, res) => res.end('well'))
    const { dispatcher } = engine(t, { addresses: [refused, sick] })
    const second = engine(t, { addresses: [sick, well] })

    const first = listener()
    dispatcher.dispatch({ origin: 'http://voting', path: '/', method: 'GET' }, first.handler)
    const other = listener()
    second.dispatcher.dispatch({ origin: 'http://voting', path: '/', method: 'GET' }, other.handler)
    await Promise.all([first.over, other.over])

    assert.deepEqual(first.heard, ['start', '503', 'sick', 'end'])
    assert.deepEqual(other.heard, ['start', '200', 'well', 'end'])
  })

  test('holds one controller, which pauses and resumes whatever attempt there is', async (t) => {
    const sick = await serve(t, (_req, res) => res.writeHead(503).end('sick'))
    const well = await serve(t, (_req, res) => res.end('well'))
    const { dispatcher } = engine(t, { addresses: [sick, well] })
    const { heard, over, handler } = listener()
    const controllers = new Set<Dispatcher.DispatchController>()

    dispatcher.dispatch(
      { origin: 'http://voting', path: '/', method: 'GET' },
      {
        ...handler,
        onRequestStart(controller, context) {
          controllers.add(controller)
          controller.pause()
          handler.onRequestStart?.(controller, context)
        },
        onResponseStart(controller, status, headers) {
          controllers.add(controller)
          handler.onResponseStart?.(controller, status, headers)
          setImmediate(() => {
            heard.push(`paused ${controller.paused}`)
            controller.resume()
          })
        },
      },
    )
    await over

    assert.equal(controllers.size, 1)
    assert.deepEqual(heard, ['start', '200', 'paused true', 'well', 'end'])
  })

  test('may abort without a reason', async (t) => {
    const { dispatcher } = engine(t, { addresses: [] })
    const { heard, handler } = listener()

    dispatcher.dispatch(
      { origin: 'http://voting', path: '/', method: 'GET' },
      {
        ...handler,
        onRequestStart(controller) {
          controller.abort(undefined as never)
          assert.equal(controller.aborted, true)
          assert.equal(controller.reason?.name, 'AbortError')
        },
      },
    )

    assert.equal(heard.length, 1)
  })
})

describe('the async context of the caller', () => {
  const storage = new AsyncLocalStorage<string>()

  test('is that of callbacks and of the body, on connections of others and after a resend, too', async (t) => {
    const sick = await serve(t, (req, res) => res.writeHead(req.url === '/sick' ? 503 : 200).end('x'))
    const well = await serve(t, (_req, res) => res.end('well'))
    const { dispatcher } = engine(t, { addresses: [sick, well] })
    await storage.run('warm-up', async () => (await request('http://voting/', { dispatcher })).body.dump())

    const seen: (string | undefined)[] = []
    const call = (path: string): Promise<void> =>
      new Promise((resolve, reject) => {
        dispatcher.request({ origin: 'http://voting', path, method: 'GET' }, (error, data) => {
          if (error) return reject(error)
          seen.push(storage.getStore())
          data.body.text().then(() => {
            seen.push(storage.getStore())
            resolve()
          }, reject)
        })
      })
    await storage.run('one', () => call('/'))
    await storage.run('two', () => call('/sick'))

    assert.deepEqual(seen, ['one', 'one', 'two', 'two'])
  })

  test('is that in which every attempt is made', async (t) => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
    const sick = await serve(t, (_req, res) => res.writeHead(503).end())
    const well = await serve(t, (_req, res) => res.end())
    const { dispatcher, update } = engine(t, { addresses: [] })
    const seen: (string | undefined)[] = []
    const look = (): void => void seen.push(storage.getStore())
    subscribe('undici:request:create', look)
    t.after(() => unsubscribe('undici:request:create', look))

    const swallow = { onRequestStart() {}, onResponseStart() {}, onResponseData() {}, onResponseError() {} }
    const calls = storage.run('mine', () => [
      request('http://voting/', { dispatcher }).then(({ body }) => body.dump()),
      new Promise<void>((resolve) => {
        dispatcher.dispatch({ origin: 'http://voting', path: '/', method: 'GET' }, { ...swallow, onResponseEnd: () => resolve() })
      }),
    ])
    storage.run('discovery', () => update([sick, well]))
    await Promise.all(calls)

    assert.deepEqual(seen, ['mine', 'mine', 'mine', 'mine'])
  })
})
