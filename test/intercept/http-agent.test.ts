import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import http from 'node:http'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import axios from 'axios'
import got from 'got'
import { MeshAgent } from '../../src/intercept/http/agent.ts'
import { accepted, agentEngine, answerOf, send, start } from '../support/agent-engine.ts'
import { inOrder, REFUSED_PORT } from '../support/engine.ts'
import { serve, serveTls, testCertificate } from '../support/servers.ts'
import { turns } from '../support/turns.ts'

describe('a request to a service', () => {
  test('goes to an endpoint of its own, over kept connections', async (t) => {
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => serve(t, (_, response) => response.end(name))))
    const { agent } = agentEngine(t, { addresses: servers, balancer: turns })

    const bodies = []
    for (let i = 0; i < 9; i++) bodies.push((await send(agent)).body)

    assert.equal(bodies.sort().join(''), 'aaabbbccc')
    assert.deepEqual(
      servers.map((server) => server.accepted()),
      [1, 1, 1],
    )
  })

  test('keeps its Host header, path, method, headers and options', async (t) => {
    const server = await serve(t, ({ method, url, headers }, response) => {
      response.end(JSON.stringify({ method, url, host: headers.host, accept: headers.accept }))
    })
    const { agent } = agentEngine(t, { addresses: [server] })

    const options = { port: 8080, path: '/api/vote?choice=1', method: 'DELETE', headers: { accept: 'text/plain' } }
    const { body } = await send(agent, options)

    assert.deepEqual(JSON.parse(body), {
      method: 'DELETE',
      url: '/api/vote?choice=1',
      host: 'voting:8080',
      accept: 'text/plain',
    })
    assert.deepEqual(options, { port: 8080, path: '/api/vote?choice=1', method: 'DELETE', headers: { accept: 'text/plain' } })
  })

  test('is seen by the engine as the application made it', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const seen: unknown[] = []
    const balancer = () => {
      const inner = inOrder()
      return {
        ...inner,
        pick: (...[call, now, avoid]: Parameters<typeof inner.pick>) => {
          seen.push([call.authority, call.method, call.path, call.idempotent, call.header('x-many'), call.header('x-none')])
          return inner.pick(call, now, avoid)
        },
      }
    }
    const { agent, watch } = agentEngine(t, { addresses: [server], balancer })

    await send(agent, { host: 'VOTING', port: 81, path: '/a', headers: { 'X-Many': ['1', '2'] } })
    await send(agent, { method: 'post', headers: { 'idempotency-key': '1' } }, 'x')
    await send(agent, { method: 'post' }, 'x')

    assert.deepEqual(seen, [
      ['voting:81', 'GET', '/a', true, '1, 2', undefined],
      ['voting', 'POST', '/', true, undefined, undefined],
      ['voting', 'POST', '/', false, undefined, undefined],
    ])
    assert.deepEqual(watch.last, {
      method: 'POST',
      path: '/',
      attempts: [{ endpoint: `127.0.0.1:${server.port}`, number: 1, reason: 'ok' }],
      reason: 'ok',
      status: 200,
    })
  })

  test('says whether its socket was used before', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [server] })

    const first = await send(agent)
    const second = await send(agent)

    assert.deepEqual([first.reusedSocket, second.reusedSocket], [false, true])
  })

  test('frees its socket when nobody listens for the answer', async (t) => {
    const server = await serve(t, (_, response) => response.end('x'.repeat(200_000)))
    const { agent } = agentEngine(t, { addresses: [server] })

    const request = start(agent)
    await new Promise((resolve) => request.once('close', resolve))
    await new Promise(setImmediate)
    const second = await send(agent)

    assert.equal(second.reusedSocket, true)
  })

  test('reports a status of 500 and above as a failure, and hands it over as it is', async (t) => {
    const server = await serve(t, (request, response) => response.writeHead(Number(request.url?.slice(1))).end('sorry'))
    const { agent, watch } = agentEngine(t, { addresses: [server, server] })

    const reasons = []
    for (const status of [404, 429, 500, 503]) {
      const answer = await send(agent, { path: `/${status}` })
      assert.deepEqual([answer.status, answer.body], [status, 'sorry'])
      reasons.push([watch.last.reason, watch.last.status, watch.last.attempts.length])
    }

    assert.deepEqual(reasons, [
      ['ok', 404, 1],
      ['overloaded', 429, 1],
      ['error_status', 500, 1],
      ['unavailable', 503, 1],
    ])
  })
})

describe('what Node adds to requests', () => {
  test('an upgrade hands the socket to the application', async (t) => {
    const server = await serve(t, () => {})
    server.server.on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: echo\r\nconnection: upgrade\r\n\r\n')
      socket.pipe(socket)
    })
    const { agent, watch, service } = agentEngine(t, { addresses: [server] })

    const request = start(agent, { headers: { connection: 'upgrade', upgrade: 'echo' } })
    const socket = await new Promise<NodeJS.ReadWriteStream>((resolve) => request.once('upgrade', (_, its) => resolve(its)))
    socket.write('hello')
    const [chunk] = await Promise.all([new Promise((resolve) => socket.once('data', resolve))])
    socket.end()

    assert.equal(String(chunk), 'hello')
    assert.deepEqual([watch.last.reason, watch.last.status, service.inFlight], ['ok', 101, 0])
  })

  test('CONNECT opens a tunnel through an endpoint', async (t) => {
    const server = await serve(t, () => {})
    server.server.on('connect', (request, socket) => {
      socket.end(`HTTP/1.1 200 OK\r\n\r\nto ${request.url}`)
    })
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const request = start(agent, { method: 'CONNECT', path: 'elsewhere:443' })
    const text = await new Promise<string>((resolve) => {
      request.once('connect', (_, socket, head) => {
        let all = String(head)
        socket.on('data', (chunk) => {
          all += chunk
        })
        socket.once('end', () => resolve(all))
      })
    })

    assert.equal(text, 'to elsewhere:443')
    assert.deepEqual([watch.last.reason, watch.last.status], ['ok', 200])
  })

  test('1xx answers arrive before the final one', async (t) => {
    const server = await serve(t, (_, response) => {
      response.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => response.end('done'))
    })
    server.server.on('checkContinue', (request, response) => {
      response.writeContinue()
      request.resume().once('end', () => response.end('continued'))
    })
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const hinted = start(agent)
    const hints: number[] = []
    hinted.on('information', ({ statusCode }) => hints.push(statusCode))
    const { body } = await answerOf(hinted)
    const expecting = http.request({ host: 'voting', agent, method: 'POST', headers: { expect: '100-continue' } })
    expecting.once('continue', () => expecting.end('body'))
    expecting.flushHeaders()
    const continued = await answerOf(expecting)

    assert.deepEqual([hints, body, continued.body], [[103], 'done', 'continued'])
    assert.deepEqual(
      watch.calls.map(({ reason }) => reason),
      ['ok', 'ok'],
    )
  })

  test('the timeout of a request still makes it say so', async (t) => {
    const server = await serve(t, () => {})
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const request = start(agent, { timeout: 20 })
    await new Promise((resolve) => request.once('timeout', resolve))
    const closed = new Promise((resolve) => request.once('error', () => request.once('close', resolve)))
    request.destroy()
    await closed

    assert.equal(watch.last.reason, 'cancelled')
  })
})

describe('a request to any other host', () => {
  test("passes to Node's own agent untouched", async (t) => {
    const server = await serve(t, (request, response) => response.end(request.headers.host))
    const { agent, watch, egress } = agentEngine(t, { addresses: [REFUSED_PORT] })

    const request = start(agent, { host: '127.0.0.1', port: server.port })
    const first = await answerOf(request)
    const second = await send(agent, { host: '127.0.0.1', port: server.port })
    const viaGlobal = await answerOf(http.get({ host: '127.0.0.1', port: server.port }))
    http.globalAgent.destroy()

    const origin = `127.0.0.1:${server.port}`
    assert.deepEqual([first.body, second.body], [origin, origin])
    assert.deepEqual([first.reusedSocket, second.reusedSocket, viaGlobal.reusedSocket], [false, true, true])
    assert.equal((request as { agent?: unknown }).agent, http.globalAgent)
    assert.deepEqual(egress, [`http://${origin}`, `http://${origin}`])
    assert.equal(watch.calls.length, 0)
  })

  test('fails as it does without us', async (t) => {
    const { agent } = agentEngine(t, { addresses: [] })

    await assert.rejects(send(agent, { host: '127.0.0.1', port: REFUSED_PORT }), { code: 'ECONNREFUSED' })
  })
})

describe('libraries', () => {
  test('got sends through it', async (t) => {
    const server = await serve(t, (request, response) => {
      request.setEncoding('utf8').on('data', (chunk) => response.end(`got ${request.method} ${chunk}`))
    })
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT, server] })

    const body = await got.post('http://voting/api', { body: 'vote', agent: { http: agent }, retry: { limit: 0 } }).text()

    assert.equal(body, 'got POST vote')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['connect_failed', 'ok'],
    )
  })

  test('axios sends through it', async (t) => {
    const server = await serve(t, (request, response) =>
      response.setHeader('content-type', 'application/json').end(`{"at":"${request.url}"}`),
    )
    const { agent } = agentEngine(t, { addresses: [REFUSED_PORT, server] })

    const { data } = await axios.get('http://voting/api', { httpAgent: agent, proxy: false })

    assert.deepEqual(data, { at: '/api' })
  })
})

describe('https', () => {
  const tls = { ca: testCertificate.cert }

  test("asks for the service's name and checks the certificate against it", async (t) => {
    const server = await serveTls(t, (_, response) => response.end('secret'))
    const names: unknown[] = []
    server.server.on('secureConnection', (socket) => names.push(socket.servername))
    const { agent } = agentEngine(t, { addresses: [server], secure: true, tls })

    const named = await send(agent)
    // An HTTP/1.1 server refuses a request without Host, but only after the handshake.
    const unnamed = await send(agent, { port: 8443, setHost: false })

    assert.deepEqual([named.body, unnamed.status], ['secret', 400])
    assert.deepEqual(names, ['voting', 'voting'])
  })

  test('leaves nothing behind when Node refuses the options', async (t) => {
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], secure: true, tls })

    assert.throws(() => start(agent, { headers: { host: ['a', 'b'] as never } }), { code: 'ERR_INVALID_ARG_TYPE' })

    assert.equal(watch.last.reason, 'cancelled')
  })

  test('takes what the application trusts', async (t) => {
    const server = await serveTls(t, (_, response) => response.end('secret'))
    const { agent } = agentEngine(t, { addresses: [server], secure: true })

    const { body } = await send(agent, tls)

    assert.equal(body, 'secret')
  })

  test('goes on to another endpoint when a handshake fails', async (t) => {
    const plain = await serve(t, (_, response) => response.end())
    const server = await serveTls(t, (_, response) => response.end('secret'))
    const { agent, watch } = agentEngine(t, { addresses: [plain, server], secure: true, tls })

    const { body } = await send(agent, { method: 'POST' }, 'body')

    assert.equal(body, 'secret')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['connect_failed', 'ok'],
    )
  })

  test('tells why when none can be trusted', async (t) => {
    const server = await serveTls(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [server], secure: true })

    await assert.rejects(send(agent), (error: Error) => {
      assert.match(error.message, /^voting: \d attempts failed, last on 127\.0\.0\.1:\d+: self-signed certificate/)
      assert.equal((error.cause as NodeJS.ErrnoException).code, 'DEPTH_ZERO_SELF_SIGNED_CERT')
      return true
    })
  })
})

describe('the end', () => {
  test('closing finishes what is in flight, refuses the rest and leaves no connection', async (t) => {
    let finish = () => {}
    const server = await serve(t, (_, response) => {
      finish = () => response.end('late')
    })
    const { agent } = agentEngine(t, { addresses: [server] })

    const inFlight = send(agent)
    await accepted(server)
    const asked = new Promise((resolve) => server.server.once('request', resolve))
    await asked
    const closing = agent.close()
    await assert.rejects(send(agent), { code: 'INMESH_CLOSED' })
    finish()

    assert.equal((await inFlight).body, 'late')
    await closing
    await server.idle()
  })

  test('destroying cuts everything off, and the agent can be used again', async (t) => {
    const server = await serve(t, (request, response) => {
      if (request.url === '/fast') response.end('fast')
    })
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const slow = start(agent)
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => slow.once('error', resolve))
    await new Promise((resolve) => server.server.once('request', resolve))
    agent.destroy()

    assert.equal((await failed).code, 'ECONNRESET')
    await server.idle()
    assert.equal(watch.last.reason, 'cancelled')
    assert.equal((await send(agent, { path: '/fast' })).body, 'fast')
  })

  test('an endpoint that leaves has its idle connections closed at once, the others after their answer', async (t) => {
    let finish = () => {}
    const server = await serve(t, (request, response) => {
      if (request.url === '/fast') response.end()
      else finish = () => response.end('late')
    })
    const { agent, update } = agentEngine(t, { addresses: [server] })

    const slow = send(agent, { path: '/slow' })
    await new Promise((resolve) => server.server.once('request', resolve))
    await send(agent, { path: '/fast' })
    assert.equal(server.connections.size, 2)
    const [first] = server.connections
    const oneLess = new Promise((resolve) => [...server.connections][1]?.once('close', resolve))
    update([])
    await oneLess

    assert.deepEqual([...server.connections], [first])
    finish()
    assert.equal((await slow).body, 'late')
    await server.idle()
  })

  test('an idle agent does not hold the process', async () => {
    const code = `
      import http from 'node:http'
      import { createMesh } from './src/index.ts'
      import { staticEndpoints } from './src/discovery/static.ts'
      const server = http.createServer((_, response) => response.end('ok')).listen(0, '127.0.0.1', () => {
        const address = '127.0.0.1:' + server.address().port
        const mesh = createMesh({ services: { voting: { discovery: staticEndpoints([address]) } } })
        http.get({ host: 'voting', agent: mesh.httpAgent }, (response) => response.resume().on('end', () => {
          console.log('answered')
          server.close()
          server.unref()
        }))
      })
      server.on('connection', (socket) => socket.unref())`

    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], { timeout: 10_000 })

    assert.equal(stdout, 'answered\n')
  })

  test("stands in for Node's globalAgent", async (t) => {
    const server = await serve(t, (_, response) => response.end('meshed'))
    const { agent } = agentEngine(t, { addresses: [server] })
    const before = http.globalAgent

    http.globalAgent = agent
    const meshed = await answerOf(http.get('http://voting/')).finally(() => (http.globalAgent = before))

    assert.equal(meshed.body, 'meshed')
  })

  test('is an agent that Node takes for one', (t) => {
    const { agent } = agentEngine(t, { addresses: [] })

    assert.ok(agent instanceof http.Agent)
    assert.ok(agent instanceof MeshAgent)
    assert.equal((agent as unknown as http.AgentOptions & { keepAlive: boolean }).keepAlive, true)
  })
})
