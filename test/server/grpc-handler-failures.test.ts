import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import grpc from '@grpc/grpc-js'
import type { Inbound } from '../../src/core/inbound.ts'
import { answer } from '../support/grpc-engine.ts'
import type { Answer, Question } from '../support/grpc-trial.ts'
import { failure, serveGrpc } from './support/grpc-serving.ts'

type Unary = grpc.handleUnaryCall<Question, object>

/** What a server's handlers threw. */
function errors() {
  const list: string[] = []
  const onError = (error: unknown, { path }: Inbound) => list.push(`${path.split('/').at(-1)} ${(error as Error).message}`)
  return { list, onError }
}

describe('a handler that fails', () => {
  test('by throwing answers with UNKNOWN, and the error names the cause', async (t) => {
    const { list, onError } = errors()
    const fails = () => {
      throw new Error('no database')
    }
    const handlers = { ask: fails, collect: fails, spread: fails, converse: fails }
    const { client, seen } = await serveGrpc(t, { handlers, onError })

    const codes = [
      (await failure(answer((done) => client.ask({}, done)))).code,
      (await failure(answer((done) => client.collect(done)))).code,
      (await failure(client.spread({ bytes: [] }).toArray())).code,
      (await failure(client.converse().toArray())).code,
    ]
    await answer((done) => client.empty({}, done))
    await seen.whenEnded(5)

    assert.deepEqual(codes, [2, 2, 2, 2])
    assert.deepEqual(list, ['Ask no database', 'Collect no database', 'Spread no database', 'Converse no database'])
    assert.equal(seen.endings.filter((line) => line.startsWith('ended 2 error_status')).length, 4)
  })

  test('by rejecting does the same, and the process goes on', async (t) => {
    const { list, onError } = errors()
    const fails = async () => {
      await turn()
      throw new Error('no database')
    }
    const handlers = { ask: fails, collect: fails, spread: fails, converse: fails }
    const { client } = await serveGrpc(t, { handlers, onError })

    const found = [
      await failure(answer((done) => client.ask({}, done))),
      await failure(answer((done) => client.collect(done))),
      await failure(client.spread({ bytes: [] }).toArray()),
      await failure(client.converse().toArray()),
    ]
    await answer((done) => client.empty({}, done))

    assert.deepEqual(
      found.map(({ code, details }) => `${code} ${details}`),
      Array(4).fill('2 Unknown error'),
    )
    assert.equal(list.length, 4)
  })

  test('by rejecting with a code answers with it, and that is no fault', async (t) => {
    const { list, onError } = errors()
    const ask = () => Promise.reject(Object.assign(new Error('no such emoji'), { code: grpc.status.NOT_FOUND }))
    const { client } = await serveGrpc(t, { handlers: { ask }, onError })

    const { code, details } = await failure(answer((done) => client.ask({}, done)))

    assert.deepEqual([code, details, list], [grpc.status.NOT_FOUND, 'no such emoji', []])
  })

  test('is told of in a warning of the process when nobody else is', async (t) => {
    const ask = () => {
      throw new Error('no database')
    }
    const { client } = await serveGrpc(t, { handlers: { ask } })
    const warned = once(process, 'warning')

    await failure(answer((done) => client.ask({}, done)))

    const [warning] = (await warned) as [Error & { detail: string }]
    assert.equal(warning.name, 'InmeshHandlerWarning')
    assert.equal(warning.message, '/inmesh.trial.Trial/Ask: the handler threw: no database')
    assert.match(warning.detail, /grpc-handler-failures\.test\.ts/)
  })

  test('by never answering keeps nothing once its caller has left', async (t) => {
    const came = Promise.withResolvers<void>()
    const { client, seen, mesh } = await serveGrpc(t, { handlers: { ask: () => came.resolve() } })

    const call = client.ask({}, () => {})
    await came.promise
    call.cancel()
    await seen.whenEnded(1)

    assert.equal(mesh.inbound.inFlight, 0)
    await answer((done) => client.empty({}, done))
  })
})

describe('a handler that answers twice', () => {
  const twice: Readonly<Record<string, Unary>> = {
    'at once': (_call, callback) => {
      callback(null, { server: 'first' })
      callback(null, { server: 'second' })
    },
    'with an error after its answer': (_call, callback) => {
      callback(null, { server: 'first' })
      callback({ code: grpc.status.INTERNAL, details: 'second' })
    },
    'and throws': (_call, callback) => {
      callback(null, { server: 'first' })
      throw new Error('second')
    },
    'much later': async (_call, callback) => {
      callback(null, { server: 'first' })
      for (let i = 0; i < 20; i++) await turn()
      callback(null, { server: 'second' })
    },
  }
  for (const [how, ask] of Object.entries(twice)) {
    test(`${how} has its first one sent, and is told of`, async (t) => {
      const { client, seen } = await serveGrpc(t, { handlers: { ask }, onError() {} })
      const warned = once(process, 'warning')

      const { server } = await answer<Answer>((done) => client.ask({}, done))
      await seen.whenEnded(1)

      const [{ name, message }] = await warned
      assert.equal(server, 'first')
      assert.deepEqual(
        [name, message],
        ['InmeshHandlerWarning', '/inmesh.trial.Trial/Ask: the handler answered twice; only its first answer was sent'],
      )
      assert.deepEqual(seen.endings, ['ended 0 ok /inmesh.trial.Trial/Ask'])
    })
  }

  test('after an error, has the error sent', async (t) => {
    const ask: Unary = (call, callback) => {
      call.sendMetadata(new grpc.Metadata())
      callback({ code: grpc.status.NOT_FOUND, details: 'first' })
      callback(null, { server: 'second' })
    }
    const { client, seen } = await serveGrpc(t, { handlers: { ask } })

    const { code, details } = await failure(answer((done) => client.ask({}, done)))
    await seen.whenEnded(1)

    assert.deepEqual([code, details], [grpc.status.NOT_FOUND, 'first'])
    assert.deepEqual(seen.endings, ['ended 5 ok /inmesh.trial.Trial/Ask'])
  })
})
