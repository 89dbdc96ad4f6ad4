import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { agentEngine, start } from '../support/agent-engine.ts'
import { REFUSED_PORT } from '../support/engine.ts'
import { serveRaw } from '../support/servers.ts'
import { turns } from '../support/turns.ts'

/** What a server may do with a request. */
const BEHAVIOURS: Readonly<Record<string, (socket: Socket) => void>> = {
  answers: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'),
  'answers and closes': (socket) => socket.end('HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'),
  fails: (socket) => socket.write('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n'),
  closes: (socket) => socket.end(),
  resets: (socket) => socket.resetAndDestroy(),
  'closes half-way': (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'),
  'resets half-way': (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf', () => socket.resetAndDestroy()),
  'talks nonsense': (socket) => socket.write('nonsense\r\n\r\n'),
}

test('whatever the servers and the application do, every request closes once and every call ends once', async (t) => {
  const server = await serveRaw(t, (socket) =>
    socket.on('data', (data) => {
      const name = /^[A-Z]+ \/(\S*)/.exec(String(data))?.[1]
      if (name !== undefined) BEHAVIOURS[decodeURIComponent(name)]?.(socket)
    }),
  )
  const { agent, watch, service } = agentEngine(t, { addresses: [server, REFUSED_PORT], balancer: turns })
  const request = fc.record({
    behaviour: fc.constantFrom(...Object.keys(BEHAVIOURS)),
    method: fc.constantFrom('GET', 'POST'),
    /** In turns of the event loop; undefined for never. */
    destroyedAfter: fc.option(fc.nat(6), { nil: undefined }),
  })

  await fc.assert(
    fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 8 }), async (requests) => {
      const before = watch.calls.length

      await Promise.all(
        requests.map(async ({ behaviour, method, destroyedAfter }) => {
          const made = start(agent, { method, path: `/${encodeURIComponent(behaviour)}` }, method === 'POST' ? 'body' : undefined)
          let closed = 0
          made.on('error', () => {}).on('response', (response) => response.on('error', () => {}).resume())
          const end = new Promise<void>((resolve) =>
            made.on('close', () => {
              closed++
              resolve()
            }),
          )
          if (destroyedAfter !== undefined) {
            for (let i = 0; i < destroyedAfter; i++) await new Promise(setImmediate)
            made.destroy()
          }
          await end
          await new Promise(setImmediate)
          assert.equal(closed, 1)
        }),
      )

      const calls = watch.calls.slice(before)
      assert.equal(calls.length, requests.length)
      assert.ok(calls.every(({ reason }) => reason !== undefined))
      assert.equal(service.inFlight, 0)
      assert.deepEqual(watch.problems, [])
    }),
    { numRuns: 100 },
  )
})
