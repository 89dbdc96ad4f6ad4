import assert from 'node:assert/strict'
import type { ClientRequest } from 'node:http'
import { describe, test } from 'node:test'
import type { MeshError } from '../../src/core/errors.ts'
import { noRetry } from '../../src/core/retry-policy.ts'
import { accepted, agentEngine, answerOf, failureOf, send, start } from '../support/agent-engine.ts'
import { REFUSED_PORT } from '../support/engine.ts'
import { serve, serveRaw, type TestServer } from '../support/servers.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'

describe('a request that its application gives up', () => {
  const ways: Readonly<Record<string, (request: ClientRequest, abort: AbortController) => void>> = {
    destroy: (request) => void request.destroy(),
    'destroy with an error': (request) => void request.destroy(Object.assign(new Error('enough'), { code: 'ENOUGH' })),
    signal: (_, abort) => abort.abort(),
  }
  const codes: Readonly<Record<string, string>> = { 'destroy with an error': 'ENOUGH', signal: 'ABORT_ERR' }

  for (const [way, giveUp] of Object.entries(ways)) {
    const code = codes[way] ?? 'ECONNRESET'

    test(`by ${way}: at once`, async (t) => {
      const server = await serve(t, () => {})
      const { agent, watch } = agentEngine(t, { addresses: [server] })
      const abort = new AbortController()

      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      giveUp(request, abort)

      assert.equal((await failure).code, code)
      assert.equal(watch.last.reason, 'cancelled')
      await server.idle()
    })

    test(`by ${way}: while a connection is made`, async (t) => {
      const mute = await serveRaw(t, (socket) => socket.resume())
      const { agent, watch } = agentEngine(t, { addresses: [mute], secure: true })
      const abort = new AbortController()

      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      await accepted(mute)
      giveUp(request, abort)

      assert.equal((await failure).code, code)
      assert.deepEqual([watch.last.reason, watch.last.attempts.length], ['cancelled', 1])
      await mute.idle()
    })

    test(`by ${way}: while there is no endpoint`, async (t) => {
      const { agent, watch } = agentEngine(t, { addresses: [] })
      const abort = new AbortController()

      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      await settle()
      giveUp(request, abort)

      assert.equal((await failure).code, code)
      assert.deepEqual([watch.last.reason, watch.last.attempts.length], ['cancelled', 0])
    })

    test(`by ${way}: while it waits for its next attempt`, async (t) => {
      const runtime = virtualRuntime()
      const retry = () => ({ deposit() {}, next: () => 1_000 })
      const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT], runtime, retry })
      const abort = new AbortController()

      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      while (watch.last.attempts.length === 0) await settle()
      giveUp(request, abort)

      assert.equal((await failure).code, code)
      assert.deepEqual([watch.last.reason, watch.last.attempts.length], ['cancelled', 1])
    })

    test(`by ${way}: before the answer, on a kept connection`, async (t) => {
      const server = await serve(t, (request, response) => {
        if (request.url === '/fast') response.end()
      })
      const { agent, watch } = agentEngine(t, { addresses: [server] })
      const abort = new AbortController()

      await send(agent, { path: '/fast' })
      const asked = requestAt(server)
      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      await asked
      giveUp(request, abort)

      assert.equal((await failure).code, code)
      assert.equal(watch.last.reason, 'cancelled')
      await server.idle()
    })

    test(`by ${way}: in the middle of the answer`, async (t) => {
      const server = await serve(t, (_, response) => response.write('begun'))
      const { agent, watch } = agentEngine(t, { addresses: [server] })
      const abort = new AbortController()

      const request = start(agent, { signal: abort.signal })
      const failure = failureOf(request)
      request.once('response', (response) => response.once('data', () => giveUp(request, abort)))

      await failure
      assert.deepEqual([watch.last.reason, watch.last.status], ['cancelled', 200])
      await server.idle()
    })
  }

  test('by abort, while a connection is made: closes without an error, as it does without us', async (t) => {
    const mute = await serveRaw(t, (socket) => socket.resume())
    const { agent, watch } = agentEngine(t, { addresses: [mute], secure: true })

    const request = start(agent)
    request.once('error', assert.fail)
    const closed = new Promise((resolve) => request.once('close', resolve))
    await accepted(mute)
    request.abort()
    await closed

    assert.equal(watch.last.reason, 'cancelled')
    await mute.idle()
  })

  test('by destroying the answer', async (t) => {
    const server = await serve(t, (_, response) => response.write('begun'))
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const request = start(agent)
    request.once('response', (response) => response.once('data', () => response.destroy()))
    await new Promise((resolve) => request.once('close', resolve))

    assert.equal(watch.last.reason, 'cancelled')
    await server.idle()
  })

  test('before it was made', async (t) => {
    const { agent, watch } = agentEngine(t, { addresses: [REFUSED_PORT] })

    const failure = await failureOf(start(agent, { signal: AbortSignal.abort() }))

    assert.equal(failure.code, 'ABORT_ERR')
    assert.deepEqual([watch.last.reason, watch.last.attempts.length], ['cancelled', 0])
  })

  test('after the answer: nothing happens', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent, watch } = agentEngine(t, { addresses: [server] })

    const request = start(agent)
    await answerOf(request)
    request.destroy()
    const { reusedSocket } = await send(agent)

    assert.equal(reusedSocket, true)
    assert.equal(watch.calls[0]?.reason, 'ok')
  })

  test('is cut off with the agent while it waits', async (t) => {
    const { agent, watch } = agentEngine(t, { addresses: [] })

    const failure = failureOf(start(agent))
    await settle()
    agent.destroy()

    assert.equal((await failure).code, 'INMESH_CLOSED')
    assert.equal(watch.last.reason, 'closed')
  })
})

describe("a route's whole time", () => {
  test('bounds a request that is not answered', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, () => {})
    const { agent, watch } = agentEngine(t, { addresses: [server], runtime, timeoutMs: 2_000 })

    const asked = requestAt(server)
    const request = start(agent)
    const failure = failureOf(request)
    await asked
    runtime.clock.advance(1_999)
    assert.equal(request.destroyed, false)
    runtime.clock.advance(1)

    const error = (await failure) as MeshError
    assert.equal(error.code, 'INMESH_TIMEOUT')
    assert.equal(error.message, `voting: no whole answer within 2000 ms (attempts: 1, last on 127.0.0.1:${server.port})`)
    assert.equal(watch.last.reason, 'timeout')
    await server.idle()
  })

  test('bounds an answer that does not end', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, (_, response) => response.write('begun'))
    const { agent, watch } = agentEngine(t, { addresses: [server], runtime, timeoutMs: 2_000 })

    const request = start(agent)
    request.on('error', () => {})
    const failure = new Promise<Error>((resolve) => {
      request.once('response', (response) => {
        response.once('error', resolve)
        response.once('data', () => runtime.clock.advance(2_000))
      })
    })

    assert.equal(((await failure) as MeshError).code, 'INMESH_TIMEOUT')
    await server.idle()
    assert.deepEqual([watch.last.reason, watch.last.status], ['timeout', 200])
  })

  test('bounds the wait for an endpoint', async (t) => {
    const runtime = virtualRuntime()
    const { agent, watch } = agentEngine(t, { addresses: [], runtime, timeoutMs: 1_000 })

    const failure = failureOf(start(agent))
    runtime.clock.advance(1_000)

    assert.equal((await failure).message, 'voting: no whole answer within 1000 ms (attempts: 0)')
    assert.equal(watch.last.reason, 'timeout')
  })

  test('bounds the making of a connection', async (t) => {
    const runtime = virtualRuntime()
    const mute = await serveRaw(t, (socket) => socket.resume())
    const { agent, watch } = agentEngine(t, { addresses: [mute], secure: true, runtime, timeoutMs: 500 })

    const failure = failureOf(start(agent))
    await accepted(mute)
    runtime.clock.advance(500)

    assert.equal((await failure).code, 'INMESH_TIMEOUT')
    assert.equal(watch.last.reason, 'timeout')
    await mute.idle()
  })
})

describe("a route's time per try", () => {
  test('bounds the wait for the head of an answer', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, () => {})
    const { agent, watch } = agentEngine(t, { addresses: [server], runtime, perTryTimeoutMs: 300 })

    const asked = requestAt(server)
    const failure = failureOf(start(agent))
    await asked
    // In steps, as a process that does not stand still.
    for (let i = 0; i < 30; i++) runtime.clock.advance(10)

    const error = (await failure) as MeshError
    const at = `127.0.0.1:${server.port}`
    assert.equal(error.message, `voting: 1 attempt failed, on ${at}: no answer within 300 ms`)
    assert.deepEqual([error.code, error.reason, watch.last.reason], ['INMESH_ATTEMPTS_FAILED', 'try_timeout', 'try_timeout'])
    await server.idle()
  })

  test('does not bound the rest of it', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, (_, response) => response.write('begun'))
    const { agent } = agentEngine(t, { addresses: [server], runtime, perTryTimeoutMs: 300 })

    let end = () => {}
    server.server.on('request', (_, response) => (end = () => response.end()))
    const request = start(agent)
    const answer = answerOf(request)
    request.once('response', (response) =>
      response.once('data', () => {
        runtime.clock.advance(1_000)
        end()
      }),
    )

    assert.equal((await answer).body, 'begun')
  })

  test('moves on to another endpoint when there is no connection by then', async (t) => {
    const runtime = virtualRuntime()
    const mute = await serveRaw(t, (socket) => socket.resume())
    const { agent, watch } = agentEngine(t, { addresses: [mute, REFUSED_PORT], secure: true, runtime, perTryTimeoutMs: 300 })

    const failure = failureOf(start(agent))
    await accepted(mute)
    for (let i = 0; i < 30; i++) runtime.clock.advance(10)
    while (watch.last.attempts.length < 2) await settle()
    agent.destroy()
    await failure
    await mute.idle()

    assert.deepEqual(
      watch.last.attempts.slice(0, 2).map(({ reason }) => reason),
      ['connect_timeout', 'connect_failed'],
    )
  })

  test('gives back the time that this process stood still', async (t) => {
    const runtime = virtualRuntime()
    let end = () => {}
    const server = await serve(t, (_, response) => {
      end = () => response.end('late')
    })
    const { agent } = agentEngine(t, { addresses: [server], runtime, perTryTimeoutMs: 300, retry: () => noRetry })

    const asked = requestAt(server)
    const answer = send(agent)
    await asked
    runtime.clock.stall(400)
    runtime.clock.advance(0)
    end()

    assert.equal((await answer).body, 'late')
  })
})

function requestAt(server: TestServer): Promise<unknown> {
  return new Promise((resolve) => server.server.once('request', resolve))
}
