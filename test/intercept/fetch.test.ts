import assert from 'node:assert/strict'
import { getEventListeners, once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Agent, Dispatcher, H2CClient } from 'undici'
import { createFetch } from '../../src/intercept/undici/fetch.ts'
import { echo, failureOf } from '../support/compare-fetch.ts'
import { cleanup, serve, serveH2, serveH2c, testCertificate } from '../support/servers.ts'

/** Answers as it is told, in place of a network. */
class Told extends Dispatcher {
  readonly #tell: (handler: Dispatcher.DispatchHandler) => void

  constructor(tell: (handler: Dispatcher.DispatchHandler) => void) {
    super()
    this.#tell = tell
  }

  override dispatch(_options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    this.#tell(handler)
    return true
  }
}

function agentFor(t: TestContext): Agent {
  const agent = new Agent({ connect: { ca: testCertificate.cert } })
  cleanup(t, () => agent.destroy())
  return agent
}

const form = () => {
  const data = new FormData()
  data.append('a', '1')
  return data
}

test('fails with a TypeError whose cause is the dispatcher’s own error', async () => {
  const cause = Object.assign(new Error('voting: 2 attempts failed'), { code: 'INMESH_ATTEMPTS_FAILED' })
  const failing = createFetch(new Told((handler) => handler.onResponseError?.(null as never, cause)))

  for (const init of [{}, { method: 'POST', body: form() }]) {
    const error = await failing('http://voting/', init).catch((error) => error)
    assert.ok(error instanceof TypeError)
    assert.equal(error.message, 'fetch failed')
    assert.equal(error.cause, cause)
  }
})

test('rejects when the dispatcher throws', async () => {
  const cause = new Error('no')
  const throwing = createFetch(
    new Told(() => {
      throw cause
    }),
  )

  const error = await throwing('http://voting/').catch((error) => error)

  assert.ok(error instanceof TypeError)
  assert.equal(error.cause, cause)
})

test('aborts a request that was still queued once it gets its turn', async () => {
  let queued: Dispatcher.DispatchHandler | undefined
  const waiting = createFetch(new Told((handler) => (queued = handler)))
  const controller = new AbortController()
  const outcome = failureOf(waiting('http://voting/', { signal: controller.signal }))
  const reason = new Error('enough')
  const aborts: unknown[] = []

  controller.abort(reason)
  await outcome
  queued?.onRequestStart?.({ abort: (reason: unknown) => aborts.push(reason) } as never, {})

  assert.deepEqual(aborts, [reason])
})

test('sends through the dispatcher that the caller names', async (t) => {
  const server = await serve(t, echo)
  const ours = createFetch(new Told(() => assert.fail('not this one')))
  const dispatcher = agentFor(t)

  const response = await ours(server.origin, { dispatcher } as object)

  assert.equal(response.status, 200)
  await response.text()
})

test('sends a Request, forms and streams through its own dispatcher', async (t) => {
  const server = await serve(t, echo)
  const agent = agentFor(t)
  let dispatched = 0
  const counted = agent.compose((dispatch) => (options, handler) => {
    dispatched++
    return dispatch(options, handler)
  })
  const ours = createFetch(counted)

  await (await ours(new Request(server.origin))).text()
  await (await ours(server.origin, { method: 'POST', body: form() })).text()
  await (await ours(server.origin, { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' })).text()

  assert.equal(dispatched, 3)
})

test('leaves no listener on a signal, whatever becomes of the request', async (t) => {
  const server = await serve(t, (request, response) => {
    if (request.url === '/broken') request.socket.destroy()
    else if (request.url === '/none') response.writeHead(204).end()
    else if (request.url === '/there') response.writeHead(302, { location: '/' }).end()
    else response.end('text')
  })
  const ours = createFetch(agentFor(t))
  const { signal } = new AbortController()

  for (const path of ['/', '/none', '/there', '/broken']) {
    await ours(server.origin + path, { signal }).then((response) => response.text(), assert.ok)
    assert.equal(getEventListeners(signal, 'abort').length, 0, path)
  }
})

test('lets many requests share a signal without a warning', async (t) => {
  const server = await serve(t, echo)
  const ours = createFetch(agentFor(t))
  const warnings: string[] = []
  const onWarning = (warning: Error) => warnings.push(warning.name)
  process.on('warning', onWarning)
  t.after(() => process.off('warning', onWarning))
  const { signal } = new AbortController()

  await Promise.all(Array.from({ length: 50 }, async () => (await ours(server.origin, { signal })).text()))

  assert.equal(getEventListeners(signal, 'abort').length, 0)
  assert.deepEqual(warnings, [])
})

for (const [name, drop] of Object.entries({
  'a response that nobody reads': (response: Response): void => assert.ok(response.ok),
  'both halves of a clone that nobody reads': (response: Response): void => assert.ok(response.clone().ok),
})) {
  test(`gives the connection up for ${name}, once it is collected`, async (t) => {
    const server = await serve(t, (_, response) => response.write('begun'))
    const ours = createFetch(agentFor(t))
    await ours(server.origin).then(drop)
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void

    while (server.connections.size > 0) {
      collect()
      await new Promise(setImmediate)
    }

    assert.equal(server.accepted(), 1)
  })
}

test('keeps the connection for a stream whose response is collected', async (t) => {
  let end = () => {}
  const server = await serve(t, (_, response) => {
    response.write('begun')
    end = () => response.end(', done')
  })
  const ours = createFetch(agentFor(t))
  const body = await ours(server.origin).then((response) => response.body)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void

  for (let i = 0; i < 10; i++) {
    collect()
    await new Promise(setImmediate)
  }
  end()

  assert.equal(await new Response(body).text(), 'begun, done')
})

test('speaks HTTP/2 where the dispatcher does, on either path', async (t) => {
  const server = await serveH2(t, (request, response) => {
    request.resume().on('end', () => {
      response.setHeader('set-cookie', ['a=1', 'b=2'])
      response.end(`${request.httpVersion} ${request.method}`)
    })
  })
  const ours = createFetch(agentFor(t))

  for (const init of [{}, { method: 'POST', body: 'x' }, { method: 'POST', body: form() }]) {
    const response = await ours(server.origin, init)
    assert.equal(response.statusText, '')
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
    assert.equal(await response.text(), `2.0 ${init.method ?? 'GET'}`)
  }
})

test('speaks HTTP/2 by prior knowledge, on either path', async (t) => {
  const server = await serveH2c(t, (request, response) => {
    request.resume().on('end', () => response.end(request.httpVersion))
  })
  const client = new H2CClient(server.origin)
  cleanup(t, () => client.destroy())
  const ours = createFetch(client)

  assert.equal(await (await ours(server.origin)).text(), '2.0')
  assert.equal(await (await ours(server.origin, { method: 'POST', body: form() })).text(), '2.0')
})

test('ends the HTTP/2 stream and not the session when a response is cancelled', async (t) => {
  const server = await serveH2(t, (request, response) => {
    if (request.url === '/whole') response.end('whole')
    else response.write('begun')
  })
  const ours = createFetch(agentFor(t))
  const response = await ours(server.origin)

  await response.body?.cancel()

  assert.equal(await (await ours(`${server.origin}/whole`)).text(), 'whole')
  assert.equal(server.accepted(), 1)
})

test('hangs up at the signal while a stream is read through a pipe', async (t) => {
  const server = await serve(t, (_, response) => response.write('begun'))
  const ours = createFetch(agentFor(t))
  const controller = new AbortController()
  const response = await ours(server.origin, { signal: controller.signal })
  const [socket] = server.connections
  assert.ok(socket)
  const hungUp = once(socket, 'close')
  const piped = failureOf(
    new Response(response.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new TextEncoderStream())).text(),
  )

  controller.abort(new Error('enough'))

  await Promise.all([piped, hungUp])
})

test('says at once that the private state of Node’s Response is not there', async (t) => {
  const server = await serve(t, echo)
  const ours = createFetch(agentFor(t))
  const response = await ours(server.origin)

  await assert.rejects(async () => Response.prototype.text.call(response), TypeError)

  assert.equal(response.bodyUsed, false)
  await response.text()
})
