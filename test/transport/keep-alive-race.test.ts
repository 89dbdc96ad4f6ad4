import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import { request } from 'undici'
import { infiniteBudget } from '../../src/resilience/retry-budget.ts'
import { engine, until } from '../support/engine.ts'
import { serveRaw } from '../support/servers.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'

test('loses no idempotent call to a server that closes just as it is asked again', async (t) => {
  // each connection serves one request and dies of the second
  const server = await serveRaw(t, (socket) => {
    socket.once('data', () => {
      socket.write(ANSWER)
      socket.once('data', () => socket.resetAndDestroy())
    })
  })
  const { dispatcher, watch } = engine(t, { addresses: [server, server.port], budget: () => infiniteBudget })

  for (let i = 0; i < 20; i++) {
    const { body } = await request('http://voting/', { dispatcher })
    assert.equal(await body.text(), 'ok')
    await settle()
  }

  const races = watch.calls.filter((call) => call.attempts.length === 2)
  assert.ok(races.length >= 5, `${races.length} races`)
  for (const race of races) assert.equal(race.attempts[0]?.reason, 'reset')
})

test('learns after two sightings how patient a server is, and closes earlier itself', async (t) => {
  const sockets: Socket[] = []
  const server = await serveRaw(t, (socket) => {
    sockets.push(socket)
    socket.on('data', () => socket.write(ANSWER))
  })
  const clock = new VirtualClock()
  const { dispatcher } = engine(t, { addresses: [server], clock })
  const ask = async () => (await request('http://voting/', { dispatcher })).body.text()

  for (let i = 1; i <= 2; i++) {
    await ask()
    await settle()
    clock.advance(2_000)
    sockets.at(-1)?.end()
    await server.idle()
  }
  await ask()
  const startedAt = performance.now()
  await server.idle()

  // its own, at four fifths of the server's; undici's default is 4 s
  const idleMs = performance.now() - startedAt
  assert.ok(idleMs > 1_000 && idleMs < 2_000, `${idleMs} ms`)
  assert.equal(await ask(), 'ok')
  assert.equal(server.accepted(), 4)
})

test('learns it also from calls that the race has caught', async (t) => {
  let last: Socket | undefined
  let resets = 0
  const server = await serveRaw(t, (socket) => {
    let served = 0
    last = socket
    socket.on('data', () => {
      if (served++ === 0) return void socket.write(ANSWER)
      resets++
      socket.resetAndDestroy()
    })
  })
  const clock = new VirtualClock()
  const { dispatcher, watch } = engine(t, { addresses: [server], clock })
  const ask = async () => (await request('http://voting/', { dispatcher })).body.text()

  await ask()
  for (let i = 1; i <= 2; i++) {
    await settle()
    clock.advance(1_300)
    // answered by a second attempt on a new connection
    assert.equal(await ask(), 'ok')
    assert.equal(resets, i)
  }
  assert.equal(watch.last.attempts[0]?.reason, 'reset')
  const open = last as Socket

  const startedAt = performance.now()
  await until(() => open.destroyed)

  assert.ok(performance.now() - startedAt < 2_000)
})
