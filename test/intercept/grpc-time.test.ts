import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import fc from 'fast-check'
import { withContext } from '../../src/core/request-context.ts'
import { opossumBreaker } from '../../src/resilience/opossum.ts'
import { REFUSED_PORT, until } from '../support/engine.ts'
import { requestContext } from '../support/grpc-context.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc, serveGrpcs } from '../support/grpc-servers.ts'
import type { Answer, TrialClient, TrialHandlers } from '../support/grpc-trial.ts'
import { turns } from '../support/turns.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const READ = { idempotent: ['/inmesh.trial.Trial/Read'] }

describe('a deadline', () => {
  test('of the call reaches the server and ends the call', async (t) => {
    const { server, client, watch } = await silent(t)

    const startedAt = Date.now()
    await assert.rejects(
      answer((done) => client().ask({}, { deadline: startedAt + 500 }, done)),
      ({ code, details }: grpc.ServiceError) =>
        code === grpc.status.DEADLINE_EXCEEDED && /^Deadline exceeded after/.test(details),
    )

    assert.ok(Date.now() - startedAt >= 499)
    assert.equal(watch.last.reason, 'timeout')
    assert.equal(server.deadlines.length, 1)
    // what travels is the time that is left
    assert.ok(Math.abs((server.deadlines[0] as number) - startedAt - 500) < 1_000)
  })

  test('of the route does, and the status says so', async (t) => {
    const { server, client, watch } = await silent(t, { timeoutMs: 500 })

    await assert.rejects(
      answer((done) => client().ask({}, done)),
      ({ code, details }: grpc.ServiceError) =>
        code === grpc.status.DEADLINE_EXCEEDED &&
        /^voting: no whole answer within \d+ ms \(attempts: 1, last on 127\.0\.0\.1:\d+\)$/.test(details),
    )
    assert.equal(watch.last.reason, 'timeout')
    assert.equal(server.deadlines.length, 1)
    assert.notEqual(server.deadlines[0], Number.POSITIVE_INFINITY)
  })

  test('of the request that is being served does', async (t) => {
    const { client, watch } = await silent(t)
    const context = requestContext({ deadline: performance.now() + 500 })

    await withContext(context, () =>
      assert.rejects(
        answer((done) => client().ask({}, { deadline: Date.now() + 60_000 }, done)),
        { code: grpc.status.DEADLINE_EXCEEDED },
      ),
    )
    assert.equal(watch.last.reason, 'timeout')
  })

  test('of a parent call does', async (t) => {
    const { client } = await silent(t)
    const front = await serveGrpc(t, {
      handlers: {
        ask: ((parent, callback) => {
          client().ask({}, { parent }, (error) => callback(error ? { code: error.code, details: 'below' } : null, {}))
        }) as grpc.handleUnaryCall<object, object>,
      },
    })
    const outer = client({ target: `127.0.0.1:${front.port}` })

    await assert.rejects(
      answer((done) => outer.ask({}, { deadline: Date.now() + 500 }, done)),
      { code: grpc.status.DEADLINE_EXCEEDED },
    )
  })

  test('that has passed means no attempt', async (t) => {
    const { server, client, watch } = await silent(t)

    for (const deadline of [Date.now() - 1, new Date(0), Number.NEGATIVE_INFINITY, new Date(Number.NaN), Number.NaN]) {
      await assert.rejects(
        answer((done) => client().ask({}, { deadline }, done)),
        { code: grpc.status.DEADLINE_EXCEEDED },
      )
      assert.equal(watch.last.attempts.length, 0)
    }
    assert.deepEqual(server.deadlines, [])
  })

  test('ends a call that waits for an endpoint', async (t) => {
    const { client, watch } = grpcEngine(t, { addresses: [] })

    await assert.rejects(
      answer((done) => client().ask({}, { deadline: Date.now() + 20 }, done)),
      ({ code, details }: grpc.ServiceError) =>
        code === grpc.status.DEADLINE_EXCEEDED && details.startsWith('voting: no whole answer within'),
    )
    assert.equal(watch.last.reason, 'timeout')
  })

  test('nearer than the next attempt means no further one', async (t) => {
    const { client, watch } = grpcEngine(t, {
      addresses: [REFUSED_PORT],
      retry: () => ({ deposit() {}, next: () => 60_000 }),
    })

    await assert.rejects(
      answer((done) => client().ask({}, { deadline: Date.now() + 10_000 }, done)),
      { code: grpc.status.UNAVAILABLE },
    )
    assert.equal(watch.last.attempts.length, 1)
  })
})

describe('perTryTimeoutMs', () => {
  test('gives up an attempt for another', async (t) => {
    const { silentServer, other, client, watch, clock } = await silentAndOther(t)

    const got = answer<Answer>((done) => client({ mesh: READ }).read({}, done))
    await until(() => silentServer.deadlines.length === 1)
    clock.advance(100)

    assert.equal((await got).server, 'b')
    assert.deepEqual(
      watch.last.attempts.map(({ reason }) => reason),
      ['try_timeout', 'ok'],
    )
    assert.equal(other.calls.read, 1)
    await until(() => silentServer.cancelled === 1)
  })

  test('ends a call that must not be sent again', async (t) => {
    const { silentServer, client, clock } = await silentAndOther(t)

    const failed = assert.rejects(
      answer((done) => client().ask({}, done)),
      ({ code, details }: grpc.ServiceError) =>
        code === grpc.status.DEADLINE_EXCEEDED &&
        /^voting: 1 attempt failed, on 127\.0\.0\.1:\d+: no answer within 100 ms$/.test(details),
    )
    await until(() => silentServer.deadlines.length === 1)
    clock.advance(100)

    await failed
  })

  test('does not bound a stream that has begun', async (t) => {
    const { client, clock } = await silentAndOther(t)

    const call = client().converse()
    call.write({ answerBytes: 1 })
    await once(call, 'data')
    clock.advance(1_000)
    call.write({ answerBytes: 2 })
    await once(call, 'data')
    call.end()

    const [status] = await once(call, 'status')
    assert.equal(status.code, grpc.status.OK)
  })
})

describe('a caller that leaves', () => {
  test('cancels what is being done for it', async (t) => {
    const { server, client, watch } = await silent(t)
    const leaves = new AbortController()

    const failed = withContext(requestContext({ leaves: leaves.signal }), () => answer((done) => client().ask({}, done)))
    await until(() => server.deadlines.length === 1)
    leaves.abort(new Error('the caller left'))

    await assert.rejects(failed, { code: grpc.status.CANCELLED, details: 'the caller left' })
    assert.equal(watch.last.reason, 'cancelled')
    await until(() => server.cancelled === 1)
  })

  test('before the call begins means no attempt', async (t) => {
    const { server, client } = await silent(t)

    await withContext(requestContext({ leaves: AbortSignal.abort(new Error('gone')) }), () =>
      assert.rejects(
        answer((done) => client().ask({}, done)),
        { code: grpc.status.CANCELLED, details: 'gone' },
      ),
    )
    assert.equal(server.deadlines.length, 0)
  })
})

describe('cancelling', () => {
  test('reaches the server', async (t) => {
    const { server, client, watch } = await silent(t)

    const failed = answer((done) => {
      const call = client().ask({}, done)
      until(() => server.deadlines.length === 1).then(() => call.cancel())
    })

    await assert.rejects(failed, { code: grpc.status.CANCELLED, details: 'Cancelled on client' })
    assert.equal(watch.last.reason, 'cancelled')
    await until(() => server.cancelled === 1)
  })

  test('ends a call that waits for an endpoint', async (t) => {
    const { client } = grpcEngine(t, { addresses: [] })

    await assert.rejects(
      answer((done) => client().ask({}, done).cancel()),
      { code: grpc.status.CANCELLED },
    )
  })

  test('ends a call that waits for its next attempt', async (t) => {
    const { client, watch } = grpcEngine(t, { addresses: [REFUSED_PORT], retry: () => ({ deposit() {}, next: () => 60_000 }) })

    const failed = answer((done) => {
      const call = client().ask({}, done)
      until(() => watch.calls[0]?.attempts.length === 1).then(() => call.cancel())
    })

    await assert.rejects(failed, { code: grpc.status.CANCELLED })
  })

  test('at any moment leaves nothing in flight, and one status', async (t) => {
    const servers = await serveGrpcs(t, 'ab')
    const { client, service } = grpcEngine(t, { addresses: [REFUSED_PORT, ...servers], balancer: turns })
    const meshed = client({ mesh: { idempotent: () => true } })

    await fc.assert(
      fc.asyncProperty(fc.nat({ max: 12 }), fc.boolean(), async (turnsOfTheLoop, streams) => {
        let statuses = 0
        const stream = streams ? meshed.converse() : undefined
        stream?.write({ answerBytes: 10 })
        const call = stream ?? meshed.ask({ answerBytes: 10 }, () => {})
        call.on('error', () => {})
        call.on('data', () => {})
        call.on('status', () => statuses++)
        for (let i = 0; i < turnsOfTheLoop; i++) await new Promise<void>((resolve) => setImmediate(resolve))
        call.cancel()
        await until(() => statuses > 0)
        await new Promise<void>((resolve) => setImmediate(resolve))
        assert.equal(statuses, 1)
      }),
      { numRuns: 60 },
    )

    assert.equal(service.inFlight, 0)
  })
})

describe('wait-for-ready', () => {
  const WAITS = () => new grpc.Metadata({ waitForReady: true })

  test('goes on until there is a connection', async (t) => {
    const gone = await serveGrpc(t)
    const { port } = gone
    const { client, watch } = grpcEngine(t, { addresses: [gone] })
    gone.kill()

    const got = answer<Answer>((done) => client().ask({}, WAITS(), done))
    await until(() => (watch.calls[0]?.attempts.length ?? 0) >= 5)
    await serveGrpc(t, { name: 'back', port })

    assert.equal((await got).server, 'back')
  })

  test('ends at the deadline', async (t) => {
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT] })

    await assert.rejects(
      answer((done) => client().ask({}, WAITS(), { deadline: Date.now() + 60 }, done)),
      { code: grpc.status.DEADLINE_EXCEEDED },
    )
  })
})

describe('no attempt', () => {
  test('means UNAVAILABLE with the counts when there is no endpoint', async (t) => {
    const { client, service, watch } = grpcEngine(t, { addresses: [] })
    service.update([])
    service.close()

    await assert.rejects(
      answer((done) => client().ask({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'voting: no endpoint (0 of 0 ready)' },
    )
    assert.equal(watch.last.reason, 'no_endpoint')
  })

  test('means UNAVAILABLE when every endpoint’s breaker is shut', async (t) => {
    const server = await serveGrpc(t)
    const gate = () => ({ acquire: () => false, judge() {}, release() {}, shutUntil: 0 })
    const { client, watch } = grpcEngine(t, { addresses: [server], gate })

    await assert.rejects(
      answer((done) => client().ask({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'voting: every endpoint refused (1 of 1 ready, 0 in flight)' },
    )
    assert.equal(watch.last.reason, 'refused')
  })

  test('means UNAVAILABLE when the service’s own breaker is open', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [server], breaker: opossumBreaker({ minCalls: 1 }) })
    const failing = { statusCode: grpc.status.INTERNAL, statusDetails: 'broken' }

    await assert.rejects(
      answer((done) => client().ask(failing, done)),
      { details: 'broken' },
    )
    await assert.rejects(
      answer((done) => client().ask({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'voting: breaker open' },
    )
    assert.equal(watch.last.reason, 'breaker_open')
  })
})

describe('the caller’s async context', () => {
  const storage = new AsyncLocalStorage<string>()
  const contextOf = (client: TrialClient) =>
    storage.run('caller', () => answer<string | undefined>((done) => client.ask({}, () => done(null, storage.getStore()))))

  test('is kept by a call that waits', async (t) => {
    const server = await serveGrpc(t)
    const { client, update } = grpcEngine(t, { addresses: [] })

    const seen = contextOf(client())
    storage.run('discovery', () => update([server]))

    assert.equal(await seen, 'caller')
  })

  test('is kept by a call that is sent again', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })
    const meshed = client()

    const others = storage.run('other', () => answer((done) => meshed.ask({}, done)))
    const seen = await Promise.all([contextOf(meshed), contextOf(meshed)])
    await others

    assert.deepEqual(seen, ['caller', 'caller'])
  })
})

/** A server that never answers, and knows who left. */
async function silent(t: TestContext, options: { timeoutMs?: number } = {}) {
  const server = { deadlines: [] as number[], cancelled: 0 }
  const { port } = await serveGrpc(t, { handlers: silence(server) })
  return { server, ...grpcEngine(t, { addresses: [port], ...options }) }
}

/** Servers `a`, which doesn't answer all, and `b`, which does; an attempt may take 100 ms of a clock that stands. */
async function silentAndOther(t: TestContext) {
  const clock = new VirtualClock()
  const silentServer = { deadlines: [] as number[], cancelled: 0 }
  const [first, other] = await Promise.all([serveGrpc(t, { handlers: silence(silentServer) }), serveGrpc(t, { name: 'b' })])
  return { silentServer, other, clock, ...grpcEngine(t, { addresses: [first, other], perTryTimeoutMs: 100, clock }) }
}

function silence(seen: { deadlines: number[]; cancelled: number }): TrialHandlers {
  const handler = ((call) => {
    const deadline = call.getDeadline()
    seen.deadlines.push(Number(deadline))
    call.on('cancelled', () => seen.cancelled++)
  }) as grpc.handleUnaryCall<object, object>
  return { ask: handler, read: handler }
}
