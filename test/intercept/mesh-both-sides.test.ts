import assert from 'node:assert/strict'
import http from 'node:http'
import http2 from 'node:http2'
import type { Server } from 'node:net'
import { type TestContext, test } from 'node:test'
import { request } from 'undici'
import { type Runtime, systemClock } from '../../src/core/clock.ts'
import type { Address } from '../../src/core/endpoint.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { Security } from '../../src/server/secure-listener.ts'
import { secureServer } from '../../src/server/secure-server.ts'
import { agentEngine, send } from '../support/agent-engine.ts'
import { engine } from '../support/engine.ts'
import { aRoot, identityOf, listening, type Meshed, meshed, ROOT, VOTING, WEB } from '../support/meshed.ts'
import { cleanup } from '../support/servers.ts'

/** No time is waited at random. */
const AT_ONCE: Runtime = { clock: systemClock, random: () => 0, retryLoop: retryLoop(systemClock) }

async function both(t: TestContext, server: Server): Promise<{ web: Meshed; voting: Meshed; address: Address }> {
  const voting = meshed(t, { identity: identityOf(VOTING) })
  const security = new Security({ keyring: voting.keyring, clock: systemClock })
  cleanup(t, () => security.close())
  const { port } = await listening(t, secureServer(security, server as http.Server))
  return { web: meshed(t, { runtime: AT_ONCE }), voting, address: { host: '127.0.0.1', port, identity: VOTING } }
}

/** One trust root takes over from another in the usual order, on both sides: nobody shows what the other does not believe yet. */
function replaceRoot({ web, voting }: { web: Meshed; voting: Meshed }): (() => void)[] {
  const next = aRoot()
  return [
    { root: ROOT, trust: [ROOT, next] },
    { root: next, trust: [ROOT, next] },
    { root: next, trust: [next] },
  ].flatMap((changes) => [
    () => voting.source.identity(identityOf(VOTING, changes)),
    () => web.source.identity(identityOf(WEB, changes)),
  ])
}

/** 600 calls by six callers, and a step after each eighty. */
async function underLoad(call: () => Promise<string>, steps: readonly (() => void)[]): Promise<void> {
  const left = [...steps]
  let count = 0
  const caller = async () => {
    while (count < 600) {
      if (++count % 80 === 0) left.shift()?.()
      assert.equal(await call(), 'voted')
    }
  }
  await Promise.all(Array.from({ length: 6 }, caller))
  assert.equal(left.length, 0)
}

const vote: http.RequestListener = (_request, response) => response.end('voted')

test('a trust root is replaced under load on both sides, and no call through undici fails', async (t) => {
  const sides = await both(t, http.createServer(vote))
  const { dispatcher } = engine(t, { addresses: [sides.address], identity: sides.web })

  await underLoad(async () => (await request('http://voting/', { dispatcher })).body.text(), replaceRoot(sides))

  assert.deepEqual(new Set(sides.web.results), new Set(['ok']))
})

test('a trust root is replaced under load on both sides, and no call over h2 fails', async (t) => {
  const sides = await both(t, http2.createServer(vote as never))
  const { dispatcher } = engine(t, { addresses: [sides.address], identity: sides.web, protocol: 'h2c' })

  await underLoad(async () => (await request('http://voting/', { dispatcher })).body.text(), replaceRoot(sides))

  assert.deepEqual(new Set(sides.web.results), new Set(['ok']))
})

test('a trust root is replaced under load on both sides, and no call through node:http fails', async (t) => {
  const sides = await both(t, http.createServer(vote))
  const { agent } = agentEngine(t, { addresses: [sides.address], identity: sides.web })

  await underLoad(async () => (await send(agent)).body, replaceRoot(sides))

  assert.deepEqual(new Set(sides.web.results), new Set(['ok']))
})
