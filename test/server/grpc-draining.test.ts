import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import grpc from '@grpc/grpc-js'
import { systemClock } from '../../src/core/clock.ts'
import { Drain } from '../../src/server/drain.ts'
import { drainingGrpcServer } from '../../src/server/grpc-draining.ts'
import { answer } from '../support/grpc-engine.ts'
import type { Question } from '../support/grpc-trial.ts'
import { failure, serveGrpc } from './support/grpc-serving.ts'
import { EMPTY_MESSAGE, rawGrpcClient } from './support/raw-grpc-client.ts'

/** A server whose calls wait. */
async function waiting(t: Parameters<typeof serveGrpc>[0], options: grpc.ServerOptions = {}) {
  const finish: (() => void)[] = []
  const ask: grpc.handleUnaryCall<Question, object> = (_call, callback) => void finish.push(() => callback(null, {}))
  const serving = await serveGrpc(t, { handlers: { ask }, options })
  const came = async (count: number) => {
    while (finish.length < count) await turn()
  }
  return { ...serving, draining: drainingGrpcServer(serving.server), finish, came }
}

describe('a server of grpc-js that is drained', () => {
  test('says GOAWAY, finishes what is under way, and takes no more', async (t) => {
    const { port, client, connect, draining, finish, came } = await waiting(t)
    const raw = rawGrpcClient(t, port)
    await raw.code(raw.call('/inmesh.trial.Trial/Empty', {}, EMPTY_MESSAGE))
    const away = new Promise((resolve) => raw.session.once('goaway', resolve))
    const underWay = answer((done) => client.ask({}, done))
    await came(1)
    let closed = false
    const closing = draining.close(systemClock).then(() => {
      closed = true
    })

    assert.equal(await away, 0)
    const { code } = await failure(answer((done) => connect().empty({}, done)))
    assert.equal(code, grpc.status.UNAVAILABLE)
    assert.equal(closed, false)
    finish[0]?.()
    await underWay
    await closing
  })

  for (const channelz of [1, 0]) {
    test(`cuts off what takes too long, ${channelz === 1 ? 'with' : 'without'} channelz`, async (t) => {
      const { client, draining, came, seen, mesh } = await waiting(t, { 'grpc.enable_channelz': channelz })
      const underWay = failure(answer((done) => client.ask({}, done)))
      await came(1)
      const closing = draining.close(systemClock)

      draining.cutOff()

      assert.notEqual((await underWay).code, grpc.status.OK)
      await closing
      await seen.whenEnded(1)
      assert.equal(mesh.inbound.inFlight, 0)
    })
  }

  test('is part of the drain of its process', async (t) => {
    const { client, server, finish, came, mesh } = await waiting(t)
    const drain = new Drain(mesh.inbound, { noticeMs: 0, graceMs: 10_000 })
    drain.watch(server)
    const underWay = answer((done) => client.ask({}, done))
    await came(1)

    const drained = drain.drain()
    assert.equal(mesh.inbound.state, 'leaving')
    finish[0]?.()
    await underWay

    assert.equal(await drained, 0)
    assert.equal(mesh.inbound.state, 'left')
  })

  test('is cut off with its process', async (t) => {
    const { client, server, came, mesh } = await waiting(t)
    const drain = new Drain(mesh.inbound, { noticeMs: 0, graceMs: 20 })
    drain.watch(server)
    const underWay = failure(answer((done) => client.ask({}, done)))
    await came(1)

    assert.equal(await drain.drain(), 1)
    assert.notEqual((await underWay).code, grpc.status.OK)
  })
})
