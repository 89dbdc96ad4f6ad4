import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import http from 'node:http'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { MeshError } from '../../src/core/errors.ts'
import { type Gate, openGate } from '../../src/core/gate.ts'
import { noRetry, type RetryPolicy } from '../../src/core/retry-policy.ts'
import type { ServiceBreaker } from '../../src/core/service-breaker.ts'
import { accepted, agentEngine, answerOf, failureOf, send, start } from '../support/agent-engine.ts'
import { REFUSED_PORT } from '../support/engine.ts'
import { serve, serveRaw, testCertificate } from '../support/servers.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'

describe('a connection that fails', () => {
  test('is followed by another, for any method, with the whole body', async (t) => {
    const server = await serve(t, async (request, response) => response.end(await text(request)))
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT, server] })

    const body = 'x'.repeat(300_000)
    const posted = await send(agent, { method: 'POST' }, body)
    const streamed = http.request({ host: 'voting', agent, method: 'PATCH' })
    const source = new PassThrough()
    source.pipe(streamed)
    source.write('in ')
    setImmediate(() => source.end('pieces'))
    const patched = await answerOf(streamed)

    assert.equal(posted.body, body)
    assert.equal(patched.body, 'in pieces')
    assert.deepEqual(watch.last.attempts, [
      { endpoint: `127.0.0.1:${REFUSED_PORT}`, number: 1, reason: 'connect_failed' },
      { endpoint: `127.0.0.1:${server.port}`, number: 2, reason: 'ok' },
    ])
  })

  test('is followed by a kept one', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent, watch, update } = agentEngine(t, { addresses: [server] })

    await send(agent)
    update([REFUSED_PORT, server])
    const { reusedSocket } = await send(agent)

    assert.equal(reusedSocket, true)
    assert.equal(server.accepted(), 1)
    assert.equal(watch.last.attempts.length, 2)
  })

  test('is the error when it was the last', async (t) => {
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT] })

    const failure = (await failureOf(start(agent))) as MeshError

    assert.ok(failure instanceof MeshError)
    assert.equal(failure.code, 'INMESH_ATTEMPTS_FAILED')
    assert.equal(failure.message, 'voting: 5 attempts failed, last on 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1')
    assert.deepEqual(
      [failure.service, failure.endpoint, failure.attempts, failure.reason],
      ['voting', '127.0.0.1:1', 5, 'connect_failed'],
    )
    assert.equal((failure.cause as NodeJS.ErrnoException).code, 'ECONNREFUSED')
    assert.equal(watch.last.reason, 'connect_failed')
  })

  test('is the error when its host has no address', async (t) => {
    const { agent } = agentEngine(t, { addresses: [{ host: 'nowhere.invalid', port: 80 }] })

    const { cause } = await failureOf(start(agent))

    assert.match(String((cause as NodeJS.ErrnoException).code), /^(?:ENOTFOUND|EAI_AGAIN)$/)
  })

  test('is the error when its options are wrong', async (t) => {
    const { agent } = agentEngine(t, { addresses: [REFUSED_PORT] })

    const { cause } = await failureOf(start(agent, { localAddress: 'not an address' }))

    assert.equal((cause as NodeJS.ErrnoException).code, 'ERR_INVALID_IP_ADDRESS')
  })

  test('is given up after the connect timeout, handshake included', async (t) => {
    const runtime = virtualRuntime()
    const mute = await serveRaw(t, (socket) => socket.resume())
    const { agent, watch } = agentEngine(t, {
      addresses: [mute],
      secure: true,
      runtime,
      connectTimeoutMs: 700,
      retry: () => noRetry,
    })

    const request = start(agent, { ca: testCertificate.cert })
    const failure = failureOf(request)
    await accepted(mute)
    runtime.clock.advance(699)
    await settle()
    assert.equal(request.destroyed, false)
    runtime.clock.advance(1)

    const name = `127.0.0.1:${mute.port}`
    assert.equal((await failure).message, `voting: 1 attempt failed, on ${name}: connect ETIMEDOUT ${name} after 700 ms`)
    assert.equal(watch.last.reason, 'connect_timeout')
    await mute.idle()
  })

  test('is followed after as long as the policy says', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, (_, response) => response.end('ok'))
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT, server], runtime, retry: () => after(200) })

    const answer = send(agent)
    while (watch.last.attempts.length === 0) await settle()
    await runtime.clock.pass(199)
    assert.equal(server.accepted(), 0)
    await runtime.clock.pass(1)

    assert.equal((await answer).body, 'ok')
  })

  test('is the error when the call has less time left than the policy would wait', async (t) => {
    const runtime = virtualRuntime()
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], runtime, retry: () => after(200), timeoutMs: 200 })

    const error = (await failureOf(start(agent))) as MeshError

    assert.deepEqual([error.code, error.attempts, watch.last.reason], ['INMESH_ATTEMPTS_FAILED', 1, 'connect_failed'])
  })
})

describe('a service that cannot be asked', () => {
  test('is waited for, and the request keeps its async context', async (t) => {
    const server = await serve(t, (_, response) => response.end('here'))
    const { agent, update } = agentEngine(t, { addresses: [] })
    const storage = new AsyncLocalStorage<string>()

    const answer = storage.run('caller', () => {
      const request = start(agent)
      return new Promise((resolve) =>
        request.once('response', (response) => resolve([storage.getStore(), response.resume().statusCode])),
      )
    })
    await settle()
    update([server])

    assert.deepEqual(await answer, ['caller', 200])
  })

  test('is given up after 3 s', async (t) => {
    const runtime = virtualRuntime()
    const { agent, watch } = agentEngine(t, { addresses: [], runtime })

    const failure = failureOf(start(agent))
    runtime.clock.advance(3_000)

    const error = (await failure) as MeshError
    assert.deepEqual([error.code, error.message, error.attempts], ['INMESH_NO_ENDPOINT', 'voting: no endpoint (0 of 0 ready)', 0])
    assert.deepEqual([watch.last.reason, watch.last.attempts], ['no_endpoint', []])
  })

  test('refuses when every gate does', async (t) => {
    const shut: Gate = { ...openGate, acquire: () => false }
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], gate: () => shut })

    const error = (await failureOf(start(agent))) as MeshError

    assert.equal(error.code, 'INMESH_REFUSED')
    assert.equal(watch.last.reason, 'refused')
  })

  test('refuses while its breaker is open', async (t) => {
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], breaker: () => openBreaker(undefined) })

    const error = (await failureOf(start(agent))) as MeshError

    assert.deepEqual([error.code, error.message], ['INMESH_BREAKER_OPEN', 'voting: breaker open'])
    assert.equal(watch.last.reason, 'breaker_open')
  })

  test('answers from its fallback while its breaker is open', async (t) => {
    const answer = { status: 203, headers: { 'content-type': 'text/plain' }, body: 'none of them' }
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], breaker: () => openBreaker(answer) })

    const got = await send(agent, { timeout: 1_000 })
    const posted = await send(agent, { method: 'POST' }, 'x'.repeat(100_000))
    const head = await send(agent, { method: 'HEAD' })

    assert.deepEqual([got.status, got.body, got.headers['content-type']], [203, 'none of them', 'text/plain'])
    assert.deepEqual([posted.body, head.body, head.headers['content-length']], ['none of them', '', '12'])
    assert.deepEqual([watch.last.reason, watch.last.attempts], ['breaker_open', []])
  })
})

describe('an answer that goes wrong is the error that Node makes of it', () => {
  test('none: the connection is closed', async (t) => {
    const server = await serveRaw(t, (socket) => socket.once('data', () => socket.end()))
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const failure = await failureOf(start(agent))

    assert.deepEqual([failure.code, failure.message, watch.last.reason], ['ECONNRESET', 'socket hang up', 'reset'])
    assert.equal(watch.last.attempts.length, 1)
  })

  test('none: the connection is reset', async (t) => {
    const server = await serveRaw(t, (socket) => socket.once('data', () => socket.resetAndDestroy()))
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const failure = await failureOf(start(agent))

    assert.deepEqual([failure.code, watch.last.reason], ['ECONNRESET', 'reset'])
  })

  for (const [how, end] of [
    ['closes', 'end'],
    ['resets', 'resetAndDestroy'],
  ] as const) {
    test(`half of one: the server ${how} the connection`, async (t) => {
      const server = await serveRaw(t, (socket) =>
        socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf')),
      )
      const { agent, watch } = agentEngine(t, { addresses: [server] })

      const request = start(agent)
      const failure = failureOf(request)
      request.once('response', (response) => response.once('data', () => [...server.connections][0]?.[end]()))

      assert.equal((await failure).code, 'ECONNRESET')
      assert.deepEqual([watch.last.reason, watch.last.status], ['broken_off', 200])
    })
  }

  test('garbage', async (t) => {
    const server = await serveRaw(t, (socket) => socket.once('data', () => socket.write('SSH-2.0-OpenSSH_9.9\r\n')))
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const failure = await failureOf(start(agent))

    assert.match(String(failure.code), /^HPE_/)
    assert.equal(watch.last.reason, 'malformed')
  })

  test('garbage after its head', async (t) => {
    const server = await serveRaw(t, (socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot a chunk\r\n'))
    })
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const failure = await failureOf(start(agent))

    assert.match(String(failure.code), /^HPE_/)
    assert.equal(watch.last.reason, 'malformed')
  })

  test('an end without a length is none', async (t) => {
    const server = await serveRaw(t, (socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nall of it')))
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const { body } = await send(agent)

    assert.deepEqual([body, watch.last.reason], ['all of it', 'ok'])
  })
})

/** Two attempts at most. */
function after(ms: number): RetryPolicy {
  return { deposit() {}, next: ({ number }) => (number === 1 ? ms : -1) }
}

function openBreaker(answer: ReturnType<ServiceBreaker['answer']>): ServiceBreaker {
  return { admit: () => undefined, answer: () => answer, state: 'open', close() {} }
}
