import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { Inbound } from '../../src/core/inbound.ts'
import { currentContext } from '../../src/core/request-context.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { rateLimit } from '../../src/server/limits/rate-limit.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { cleanup, serve, serveTls } from '../support/servers.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { ask } from './support/ask.ts'
import { rawClient } from './support/raw-client.ts'
import { serving } from './support/serving.ts'

const noError = () => assert.fail('no handler should have failed')

describe('a handler', () => {
  test('finds what the mesh knows of its request', async (t) => {
    const { mesh, seen } = serving()
    let inbound: Inbound | undefined
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, (incoming, response) => {
        inbound = incoming.mesh
        response.end('ok')
      }),
    )

    const headers = {
      'x-envoy-expected-rq-timeout-ms': '5000',
      'x-envoy-attempt-count': '2',
      'x-envoy-downstream-service-cluster': 'web',
      'x-forwarded-for': '6.6.6.6',
    }
    const { status } = await ask(t, `${origin}/vote?x=1`, { method: 'POST', headers, body: 'hello' })
    await seen.whenEnded(1)

    assert.equal(status, 200)
    assert.ok(inbound !== undefined)
    assert.deepEqual([inbound.protocol, inbound.method, inbound.path], ['http', 'POST', '/vote?x=1'])
    assert.deepEqual([inbound.attempt, inbound.caller, inbound.clientAddress], [2, 'web', '127.0.0.1'])
    assert.deepEqual(inbound.peer, { address: '127.0.0.1', identity: undefined })
    assert.equal(inbound.header('x-envoy-attempt-count'), '2')
    assert.deepEqual(seen.lines, ['started POST /vote?x=1', 'ended 200 ok'])
    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('has so long as the caller waits', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, ({ mesh: inbound }, response) => response.end(String(inbound.remainingMs))),
    )
    const remaining = async (headers: Record<string, string>) => Number((await ask(t, origin, { headers })).text)

    const both = await remaining({ 'x-envoy-expected-rq-timeout-ms': '5000', 'grpc-timeout': '3S' })

    assert.ok(both > 1_000 && both <= 3_000, `${both}`)
    assert.equal(await remaining({}), Number.POSITIVE_INFINITY)
  })

  test('has its own context, through timers, promises and its body, while others have theirs', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, async ({ mesh: inbound }, response) => {
        for (let turns = Number(inbound.caller.slice(4)) % 7; turns > 0; turns--) await turn()
        response.end(`${currentContext() === inbound} ${currentContext()?.caller}`)
      }),
    )

    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const { text } = await ask(t, origin, { headers: { 'x-envoy-downstream-service-cluster': `web-${i}` } })
        return text
      }),
    )

    assert.deepEqual(
      answers,
      Array.from({ length: 50 }, (_, i) => `true web-${i}`),
    )
    assert.equal(currentContext(), undefined)
  })

  test('that reads its body by events keeps its context', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, (incoming, response) => {
        const contexts: boolean[] = []
        incoming.on('data', () => contexts.push(currentContext() === incoming.mesh))
        incoming.on('end', () => response.end(JSON.stringify([...contexts, currentContext() === incoming.mesh])))
      }),
    )
    const client = await rawClient(t, Number(new URL(origin).port), 'POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nab')

    await turn()
    client.socket.write('cd')
    await client.got(/\[true,(true,)?true\]/)
  })

  test('sees its caller leave', async (t) => {
    const { mesh, seen } = serving()
    const left = Promise.withResolvers<Error>()
    const { port } = await serve(
      t,
      inmeshHttp({ mesh }, ({ mesh: inbound }) => {
        inbound.signal.addEventListener('abort', () => left.resolve(inbound.signal.reason))
        client.socket.destroy()
      }),
    )
    const client = await rawClient(t, port)
    client.socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n')

    assert.equal((await left.promise).name, 'AbortError')
    await seen.whenEnded(1)

    assert.deepEqual(seen.endings, ['ended 200 cancelled'])
    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('sees its deadline pass while its caller still waits', async (t) => {
    const runtime = virtualRuntime()
    const { mesh, seen } = serving({}, { runtime })
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, ({ mesh: inbound }, response) => {
        inbound.signal.addEventListener('abort', () => response.writeHead(504).end(inbound.signal.reason.name))
        runtime.clock.advance(200)
      }),
    )

    const { status, text } = await ask(t, origin, { headers: { 'x-envoy-expected-rq-timeout-ms': '200' } })

    assert.deepEqual([status, text], [504, 'TimeoutError'])
    await seen.whenEnded(1)
    assert.deepEqual(seen.endings, ['ended 504 error_status'])
  })

  test('may stream its answer', async (t) => {
    const { mesh, seen } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, async (_incoming, response) => {
        for (let i = 0; i < 5; i++) {
          response.write('x'.repeat(100_000))
          await turn()
        }
        response.end()
      }),
    )

    assert.equal((await ask(t, origin)).text.length, 500_000)
    await seen.whenEnded(1)
    assert.deepEqual(seen.endings, ['ended 200 ok'])
  })

  test('is served over TLS', async (t) => {
    const { mesh, seen } = serving({}, { identityOf: (socket) => `seen ${(socket as { encrypted?: boolean }).encrypted}` })
    let identity: string | undefined
    const { port } = await serveTls(
      t,
      inmeshHttp({ mesh }, ({ mesh: inbound }, response) => {
        identity = inbound.peer.identity
        response.end()
      }),
    )
    const https = await import('node:https')

    const [answer] = (await once(
      https.get({ port, host: 'localhost', agent: false, rejectUnauthorized: false }),
      'response',
    )) as [http.IncomingMessage]
    answer.resume()
    await seen.whenEnded(1)

    assert.equal(identity, 'seen true')
  })

  test('serves many requests on one connection', async (t) => {
    const { mesh, seen } = serving()
    const server = await serve(
      t,
      inmeshHttp({ mesh }, (_incoming, response) => response.end('ok')),
    )
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    cleanup(t, () => agent.destroy())

    for (let i = 0; i < 20; i++) {
      const [answer] = (await once(http.get({ port: server.port, agent }), 'response')) as [http.IncomingMessage]
      answer.resume()
      await once(answer, 'end')
    }
    await seen.whenEnded(20)

    assert.equal(server.accepted(), 1)
  })

  test('is counted once however often it is wrapped', async (t) => {
    const { mesh, seen } = serving()
    const listener = inmeshHttp({ mesh }, ({ mesh: inbound }, response) => response.end(inbound.method))
    const { origin } = await serve(t, inmeshHttp({ mesh }, listener as http.RequestListener))

    assert.equal((await ask(t, origin)).text, 'GET')
    await seen.whenEnded(1)

    assert.deepEqual(seen.lines, ['started GET /', 'ended 200 ok'])
  })
})

describe('a handler that fails', () => {
  test('by throwing answers with 500, and the error names the cause', async (t) => {
    const { mesh, seen } = serving()
    const errors: string[] = []
    const onError = (error: unknown, { path }: Inbound) => errors.push(`${path} ${(error as Error).message}`)
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh, onError }, ({ url }, response) => {
        if (url === '/well') return response.end('well')
        response.setHeader('content-length', 5)
        throw new Error('no database')
      }),
    )

    const bad = await ask(t, `${origin}/bad`)
    const well = await ask(t, `${origin}/well`)

    assert.deepEqual([bad.status, bad.text, well.text], [500, 'internal error', 'well'])
    await seen.whenEnded(2)
    assert.deepEqual(seen.endings, ['ended 500 error_status', 'ended 200 ok'])
    assert.deepEqual(errors, ['/bad no database'])
  })

  test('by rejecting, too', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh, onError() {} }, async () => {
        await turn()
        throw new Error('no database')
      }),
    )

    const { status, text } = await ask(t, origin)

    assert.deepEqual([status, text], [500, 'internal error'])
  })

  test('in the middle of its answer breaks it off', async (t) => {
    const { mesh, seen } = serving()
    const { port } = await serve(
      t,
      inmeshHttp({ mesh, onError() {} }, async (_incoming, response) => {
        response.writeHead(200, { 'content-length': 100 })
        response.write('half')
        await turn()
        throw new Error('no database')
      }),
    )
    const client = await rawClient(t, port, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n')

    await client.closed
    await seen.whenEnded(1)

    assert.match(client.text(), /half$/)
    assert.deepEqual(seen.endings, ['ended 200 broken_off'])
  })

  test('is told of in a warning of the process when nobody else is', async (t) => {
    const { mesh } = serving()
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, () => {
        throw new Error('no database')
      }),
    )
    const warned = once(process, 'warning')

    await ask(t, `${origin}/vote`)

    const [warning] = (await warned) as [Error & { detail: string }]
    assert.equal(warning.name, 'InmeshHandlerWarning')
    assert.equal(warning.message, 'GET /vote: the handler threw: no database')
    assert.match(warning.detail, /node-http\.test\.ts/)
  })

  test('by answering twice does no harm to its answer', async (t) => {
    const { mesh, seen } = serving()
    const errors: string[] = []
    const onError = (error: unknown) => errors.push((error as NodeJS.ErrnoException).code ?? '')
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh, onError }, (_incoming, response) => {
        response.end('once')
        response.writeHead(500).end('twice')
      }),
    )

    const { status, text } = await ask(t, origin)

    assert.deepEqual([status, text], [200, 'once'])
    await seen.whenEnded(1)
    assert.deepEqual(seen.endings, ['ended 200 ok'])
    assert.deepEqual(errors, ['ERR_HTTP_HEADERS_SENT'])
  })

  test('by never answering keeps nothing once its caller has left', async (t) => {
    const { mesh, seen } = serving({ admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] })
    const { origin, port } = await serve(
      t,
      inmeshHttp({ mesh }, ({ url }, response) => {
        if (url === '/never') client.socket.destroy()
        else response.end('well')
      }),
    )
    const client = await rawClient(t, port)
    client.socket.write('GET /never HTTP/1.1\r\nhost: a\r\n\r\n')
    await seen.whenEnded(1)

    assert.equal((await ask(t, `${origin}/well`)).text, 'well')
  })
})

describe('a request that is refused', () => {
  test('for load tells its caller to try elsewhere, and never reaches its handler', async (t) => {
    const { mesh, seen } = serving({ admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] })
    const finish: (() => void)[] = []
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, (_incoming, response) => {
        finish.push(() => response.end('served'))
      }),
    )
    const first = ask(t, origin)
    while (finish.length === 0) await turn()

    const { status, headers, text } = await ask(t, origin)
    const health = ask(t, `${origin}/ready`)

    assert.deepEqual([status, text], [503, 'overloaded'])
    assert.deepEqual([headers['x-envoy-overloaded'], headers['retry-after']], ['true', '1'])
    while (finish.length === 1) await turn()
    for (const end of finish) end()
    assert.equal((await first).text, 'served')
    assert.equal((await health).text, 'served')
    await seen.whenEnded(3)
    assert.ok(seen.lines.includes('ended 503 overloaded'))
  })

  test('for its rate is told when to come again', async (t) => {
    const { mesh } = serving({ admissions: [rateLimit({ perSecond: 0.1, burst: 2 })] })
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh }, (_incoming, response) => response.end()),
    )
    const answer = async () => {
      const { status, headers } = await ask(t, origin)
      return [status, headers['x-envoy-ratelimited'], headers['retry-after']]
    }

    assert.deepEqual(
      [await answer(), await answer(), await answer()],
      [
        [200, undefined, undefined],
        [200, undefined, undefined],
        [429, 'true', '10'],
      ],
    )
  })

  test('for its deadline gets 504', async (t) => {
    const { mesh, seen } = serving({ enforceDeadlines: true })
    const { origin } = await serve(
      t,
      inmeshHttp({ mesh, onError: noError }, () => assert.fail('the handler ran')),
    )

    const { status, text } = await ask(t, origin, { headers: { 'x-envoy-expected-rq-timeout-ms': '0' } })

    assert.deepEqual([status, text], [504, 'deadline_passed'])
    await seen.whenEnded(1)
    assert.deepEqual(seen.endings, ['ended 504 deadline_passed'])
  })

  test('gives its permit back at the head of the answer, so that an endless stream holds none', async (t) => {
    const { mesh } = serving({ admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] })
    const { origin, port } = await serve(
      t,
      inmeshHttp({ mesh }, ({ url }, response) => {
        if (url === '/stream') response.writeHead(200).write('first')
        else response.end('served')
      }),
    )
    const client = await rawClient(t, port, 'GET /stream HTTP/1.1\r\nhost: a\r\n\r\n')
    await client.got(/first/)

    const { status, text } = await ask(t, origin)

    assert.deepEqual([status, text], [200, 'served'])
    client.socket.destroy()
  })
})

describe('a load report', () => {
  test('is told to each connection once', async (t) => {
    const { mesh } = serving({ loadReports: true }, { loop: () => 0.5 })
    const { port } = await serve(
      t,
      inmeshHttp({ mesh }, (_incoming, response) => response.writeHead(200, { a: 'b' }).end()),
    )
    const reportOver = async (agent: http.Agent) => {
      const [answer] = (await once(http.get({ port, agent }), 'response')) as [http.IncomingMessage]
      answer.resume()
      await once(answer, 'end')
      return answer.headers['endpoint-load-metrics']
    }
    const agents = [0, 1].map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }))
    cleanup(t, () => agents.forEach((agent) => void agent.destroy()))

    const [one, other] = agents as [http.Agent, http.Agent]
    const reports = [await reportOver(one), await reportOver(one), await reportOver(other)]

    assert.match(String(reports[0]), /^TEXT application_utilization:0\.5\b/)
    assert.deepEqual(reports.slice(1), [undefined, reports[0]])
  })
})

test('an upgrade passes by', async (t) => {
  const { mesh, seen } = serving()
  const { server, port } = await serve(
    t,
    inmeshHttp({ mesh }, () => assert.fail('no request')),
  )
  server.on('upgrade', (_incoming, socket) =>
    socket.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\nhello'),
  )

  const client = await rawClient(t, port, 'GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n')
  await client.got(/hello/)

  assert.deepEqual(seen.lines, [])
})
