import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { agentEngine, send } from '../support/agent-engine.ts'
import { serve, serveRaw } from '../support/servers.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'

describe('a kept connection', () => {
  test('is not used again shortly before the server said it would close it', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [server], runtime })

    const reused = []
    for (const waitMs of [0, 3_400, 4_000]) {
      runtime.clock.advance(waitMs)
      reused.push((await send(agent)).reusedSocket)
    }

    // Five seconds, says Node's server; one of them is taken off by Node's client.
    assert.deepEqual(reused, [false, true, false])
  })

  test('is not used again after this process stood still for too long', async (t) => {
    const runtime = virtualRuntime()
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [server], runtime })

    await send(agent)
    runtime.clock.stall(4_000)
    const { reusedSocket } = await send(agent)

    assert.equal(reusedSocket, false)
  })

  test('is closed when nobody uses it, and then nothing is left to run', async (t) => {
    const runtime = virtualRuntime()
    const server = await serveRaw(t, (socket) => socket.on('data', () => socket.write(ANSWER)))
    const { agent } = agentEngine(t, { addresses: [server], runtime })

    await send(agent)
    runtime.clock.advance(5_000)
    await server.idle()
    // The engine's own, which sleeps after a while.
    runtime.clock.advance(20_000)

    assert.equal(runtime.clock.pending, 0)
  })

  test('is not kept when the server would close it within a second', async (t) => {
    const server = await serve(t, (_, response) => response.setHeader('keep-alive', 'timeout=1').end())
    const { agent } = agentEngine(t, { addresses: [server] })

    await send(agent)
    await server.idle()
  })

  test('retires before the server was seen to close it', async (t) => {
    const runtime = virtualRuntime()
    const server = await serveRaw(t, (socket) => socket.on('data', () => socket.write(ANSWER)))
    const { agent } = agentEngine(t, { addresses: [server], runtime })

    for (let seen = 0; seen < 2; seen++) {
      await send(agent)
      runtime.clock.advance(2_000)
      for (const socket of server.connections) socket.end()
      await server.idle()
    }
    await send(agent)
    runtime.clock.advance(1_400)
    const early = await send(agent)
    runtime.clock.advance(1_700)
    const late = await send(agent)

    assert.deepEqual([early.reusedSocket, late.reusedSocket], [true, false])
  })

  test('retires before a server that was seen to reset it on use', async (t) => {
    const runtime = virtualRuntime()
    let racing = false
    const server = await serveRaw(t, (socket) =>
      socket.on('data', () => (racing ? socket.resetAndDestroy() : socket.write(ANSWER))),
    )
    const { agent } = agentEngine(t, { addresses: [server], runtime })

    for (let seen = 0; seen < 2; seen++) {
      await send(agent)
      runtime.clock.advance(2_000)
      racing = true
      await assert.rejects(send(agent), { code: 'ECONNRESET' })
      racing = false
    }
    await send(agent)
    runtime.clock.advance(1_700)
    const { reusedSocket } = await send(agent)

    assert.equal(reusedSocket, false)
  })

  test('is dropped when the server closes it, and the next request opens another', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [server] })

    await send(agent)
    for (const socket of server.connections) socket.end()
    await server.idle()
    const { reusedSocket } = await send(agent)

    assert.equal(reusedSocket, false)
  })

  test('is not kept when the answer says so', async (t) => {
    const server = await serve(t, (_, response) => response.setHeader('connection', 'close').end('bye'))
    const { agent } = agentEngine(t, { addresses: [server] })

    const { body } = await send(agent)
    await server.idle()

    assert.equal(body, 'bye')
  })
})
