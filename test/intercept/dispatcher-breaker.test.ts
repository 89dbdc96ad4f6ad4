import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { fetch, pipeline, request } from 'undici'
import { type Fallback, opossumBreaker } from '../../src/resilience/opossum.ts'
import { type Engine, engine } from '../support/engine.ts'
import { serve } from '../support/servers.ts'

const nodeFetch = globalThis.fetch

/** A mesh whose service's breaker has just opened. */
async function open(t: TestContext, fallback?: Fallback): Promise<Engine> {
  const sick = await serve(t, (_req, res) => res.writeHead(500).end())
  const mesh = engine(t, { addresses: [sick], breaker: opossumBreaker({ minCalls: 3, fallback }) })
  for (let i = 0; i < 3; i++) await (await request('http://voting/', { dispatcher: mesh.dispatcher })).body.dump()
  assert.equal(mesh.service.breaker?.state, 'open')
  return mesh
}

describe('a breaker of the whole service', () => {
  test('refuses calls while it is open, without an attempt', async (t) => {
    const { dispatcher, watch } = await open(t)

    await assert.rejects(request('http://voting/', { dispatcher }), {
      name: 'MeshError',
      code: 'INMESH_BREAKER_OPEN',
      message: 'voting: breaker open',
      attempts: 0,
    })

    assert.deepEqual([watch.last.reason, watch.last.attempts.length], ['breaker_open', 0])
  })

  test('answers in its place when it was told how', async (t) => {
    const { dispatcher, watch } = await open(t, { status: 203, headers: { 'x-from': 'fallback' }, body: 'later' })
    const read = async (answer: Response | Awaited<ReturnType<typeof fetch>>) => [
      answer.status,
      answer.headers.get('x-from'),
      await answer.text(),
    ]

    const { statusCode, headers, body } = await request('http://voting/', { dispatcher })
    assert.deepEqual([statusCode, headers['x-from'], await body.text()], [203, 'fallback', 'later'])
    assert.deepEqual(await read(await fetch('http://voting/', { dispatcher })), [203, 'fallback', 'later'])
    assert.deepEqual(await read(await nodeFetch('http://voting/', { dispatcher } as never)), [203, 'fallback', 'later'])
    const raw = await request('http://voting/', { dispatcher, responseHeaders: 'raw' })
    assert.deepEqual(raw.headers, ['x-from', 'fallback'])
    await raw.body.dump()

    let text = ''
    const duplex = pipeline('http://voting/', { dispatcher, method: 'GET' }, ({ body }) => body).end()
    for await (const chunk of duplex.setEncoding('utf8')) text += chunk
    assert.equal(text, 'later')
    assert.deepEqual([watch.last.reason, watch.last.status], ['breaker_open', 203])
  })

  test('answers HEAD without a body', async (t) => {
    const { dispatcher } = await open(t, { status: 200, body: 'later' })

    const { body } = await request('http://voting/', { dispatcher, method: 'HEAD' })

    assert.equal(await body.text(), '')
  })

  test('takes an abort as anybody does', async (t) => {
    const { dispatcher, watch } = await open(t, { status: 200, body: 'later' })
    const mine = new Error('never mind')
    const aborter = new AbortController()
    const answer = request('http://voting/', { dispatcher, signal: aborter.signal })

    aborter.abort(mine)

    await assert.rejects(answer, mine)
    await assert.rejects(request('http://voting/', { dispatcher, signal: aborter.signal }), mine)
    assert.equal(watch.last.reason, 'cancelled')
  })

  test('hears of each call once, when it is over', async (t) => {
    const server = await serve(t, (_req, res) => res.end())
    const ends: string[] = []
    const { dispatcher } = engine(t, {
      addresses: [1, server],
      breaker: () => ({
        admit: () => ({ end: ({ reason }) => void ends.push(reason) }),
        answer: () => undefined,
        state: 'closed',
        close() {},
      }),
    })

    const { body } = await request('http://voting/', { dispatcher })
    await body.dump()
    await assert.rejects(request('http://voting/', { dispatcher, signal: AbortSignal.abort() }))

    assert.deepEqual(ends, ['ok', 'cancelled'])
  })
})
