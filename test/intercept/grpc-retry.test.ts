import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { peakEwma } from '../../src/balancer/load/peak-ewma.ts'
import { p2c } from '../../src/balancer/p2c.ts'
import { CALLER_HEADER, LEAVING_HEADER, OVERLOADED_HEADER } from '../../src/core/context-headers.ts'
import { withContext } from '../../src/core/request-context.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import { retry } from '../../src/resilience/retry.ts'
import { retryBudget } from '../../src/resilience/retry-budget.ts'
import { REFUSED_PORT, until } from '../support/engine.ts'
import { requestContext } from '../support/grpc-context.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { type GrpcServer, serveFrames, serveGrpc, serveGrpcs } from '../support/grpc-servers.ts'
import { type Answer, Trial, type TrialHandlers } from '../support/grpc-trial.ts'
import { cleanup, serveRaw } from '../support/servers.ts'
import { turns } from '../support/turns.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const READ = { idempotent: ['/inmesh.trial.Trial/Read'] }
const reasons = ({ attempts }: { attempts: readonly { reason: string }[] }) => attempts.map(({ reason }) => reason)

describe('a call that never left', () => {
  test('is sent to another endpoint, whatever it is', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })

    assert.equal((await answer<Answer>((done) => client().ask({}, done))).server, 'a')
    assert.deepEqual(reasons(watch.last), ['connect_failed', 'ok'])
    assert.equal(server.metadata[0]?.get('grpc-previous-rpc-attempts')[0], '1')
  })

  test('is sent to another endpoint with all that was written of it, however large', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })

    const total = answer<{ bytes: number }>((done) => {
      const call = client().collect(done)
      call.write({ body: Buffer.alloc(300_000) })
      call.end()
    })

    assert.deepEqual(await total, { bytes: 300_000 })
  })

  test('fails with the path of the failure when there is nowhere else', async (t) => {
    const { client, watch } = grpcEngine(t, { addresses: [REFUSED_PORT], retry: retry({ backoff: () => () => 0 }) })

    await assert.rejects(
      answer((done) => client().ask({}, done)),
      ({ code, details }: grpc.ServiceError) =>
        code === grpc.status.UNAVAILABLE && /^voting: 5 attempts failed, last on 127\.0\.0\.1:1: .*ECONNREFUSED/.test(details),
    )
    assert.equal(watch.last.reason, 'connect_failed')
  })

  test('is sent to another endpoint when no connection comes about in time', async (t) => {
    const mute = await serveRaw(t, () => {})
    const server = await serveGrpc(t)
    const clock = new VirtualClock()
    const { client, watch } = grpcEngine(t, { addresses: [mute, server], connectTimeoutMs: 1_000, clock })
    // grpc-js itself never gives up a connection whose other side has not said anything yet
    cleanup(t, () => mute.connections.forEach((socket) => void socket.destroy()))

    const got = answer<Answer>((done) => client().ask({}, done))
    await until(() => mute.connections.size === 1)
    clock.advance(1_000)

    assert.equal((await got).server, 'a')
    assert.deepEqual(reasons(watch.last), ['connect_timeout', 'ok'])
  })

  test('is sent to another endpoint when the server refused its stream', async (t) => {
    const refusing = await serveFrames(t, (stream) => stream.close(http2.constants.NGHTTP2_REFUSED_STREAM))
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [refusing, server] })

    assert.equal((await answer<Answer>((done) => client().ask({}, done))).server, 'a')
    assert.deepEqual(reasons(watch.last), ['not_sent', 'ok'])
  })

  test('is not sent again when its own credentials failed', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [server] })
    const broken = grpc.credentials.createFromMetadataGenerator((_params, done) => done(new Error('no token')))

    await assert.rejects(
      answer((done) => client().ask({}, { credentials: broken }, done)),
      { details: 'Getting metadata from plugin failed with error: no token' },
    )
    assert.equal(watch.last.reason, 'body_failed')
    assert.equal(watch.last.attempts.length, 1)
  })
})

describe('a call that may have been processed', () => {
  test('is sent again if its method is idempotent', async (t) => {
    const { a, b, client, watch } = await oneUnavailable(t)

    assert.equal((await answer<Answer>((done) => client({ mesh: READ }).read({}, done))).server, 'b')
    assert.deepEqual(reasons(watch.last), ['unavailable', 'ok'])
    assert.deepEqual([a.calls.read, b.calls.read], [1, 1])
  })

  test('is sent again if its proto says that it is idempotent', async (t) => {
    const { client } = await oneUnavailable(t)

    assert.equal((await answer<Answer>((done) => client({ mesh: { idempotent: [Trial.service] } }).read({}, done))).server, 'b')
  })

  test('is sent again if a function says so', async (t) => {
    const { client } = await oneUnavailable(t)

    const meshed = client({ mesh: { idempotent: (path) => path.endsWith('/Read') } })
    assert.equal((await answer<Answer>((done) => meshed.read({}, done))).server, 'b')
  })

  test('is sent again if its metadata says so', async (t) => {
    const { client } = await oneUnavailable(t)

    const metadata = new grpc.Metadata({ idempotentRequest: true })
    assert.equal((await answer<Answer>((done) => client().read({}, metadata, done))).server, 'b')
  })

  test('is not sent again otherwise, and its status is the server’s', async (t) => {
    const { b, client, watch } = await oneUnavailable(t)

    await assert.rejects(
      answer((done) => client({ mesh: READ }).ask({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'not now' },
    )
    assert.equal(b.calls.ask, undefined)
    assert.equal(watch.last.reason, 'unavailable')
  })

  test('is sent again when the connection was lost', async (t) => {
    const [a, b] = (await serveGrpcs(t, 'ab')) as [GrpcServer, GrpcServer]
    const killed = await serveGrpc(t, { handlers: { read: () => killed.kill(), ask: () => killed.kill() } as TrialHandlers })
    const { client, watch, update } = grpcEngine(t, { addresses: [killed, b] })

    assert.equal((await answer<Answer>((done) => client({ mesh: READ }).read({}, done))).server, 'b')
    assert.deepEqual(reasons(watch.last), ['reset', 'ok'])
    update([a])
  })

  test('keeps the metadata that it was started with', async (t) => {
    const { b, client } = await oneUnavailable(t)
    const metadata = new grpc.Metadata()
    metadata.set('x-turn', 'first')

    const got = answer((done) => client({ mesh: READ }).read({}, metadata, done))
    metadata.set('x-turn', 'second')
    await got

    assert.deepEqual(b.metadata[0]?.get('x-turn'), ['first'])
    assert.deepEqual(metadata.get('grpc-previous-rpc-attempts'), [])
  })

  test('is not sent again when it is made for a request that is itself a resend', async (t) => {
    const { b, client } = await oneUnavailable(t)

    await withContext(requestContext({ attempt: 2 }), () =>
      assert.rejects(
        answer((done) => client({ mesh: READ }).read({}, done)),
        { code: grpc.status.UNAVAILABLE },
      ),
    )
    assert.equal(b.calls.read, undefined)
  })

  test('tells the next hop when it is made for a request that is itself a resend', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [server] })

    await withContext(requestContext({ attempt: 3 }), () => answer((done) => client().ask({}, done)))

    assert.deepEqual(server.metadata[0]?.get('grpc-previous-rpc-attempts'), ['2'])
  })

  test('counts against the same budget as a call through undici', async (t) => {
    const [a, b] = await Promise.all([serveGrpc(t, { handlers: UNAVAILABLE }), serveGrpc(t, { handlers: UNAVAILABLE })])
    const budget = retryBudget({ percent: 0, minPerSecond: 0.1 })
    const { client, watch, service } = grpcEngine(t, { addresses: [a, b], balancer: turns, budget })
    const meshed = client({ mesh: READ })
    const read = () => assert.rejects(answer((done) => meshed.read({}, done)))
    assert.equal(service.budget.balance, 1)

    await read()
    await read()

    assert.deepEqual(
      watch.calls.map((call) => call.attempts.length),
      [2, 1],
    )
    assert.equal(service.budget.balance, 0)
  })
})

describe('grpc-retry-pushback-ms', () => {
  test('below zero, or no number, forbids a further attempt', async (t) => {
    for (const pushback of ['-1', 'soon']) {
      const { b, client } = await oneUnavailable(t, pushback)

      await assert.rejects(
        answer((done) => client({ mesh: READ }).read({}, done)),
        { code: grpc.status.UNAVAILABLE },
      )
      assert.equal(b.calls.read, undefined)
    }
  })

  test('is how long the next attempt waits', async (t) => {
    const { client, watch } = await oneUnavailable(t, '30')
    const startedAt = performance.now()

    assert.equal((await answer<Answer>((done) => client({ mesh: READ }).read({}, done))).server, 'b')
    assert.ok(performance.now() - startedAt >= 29)
    assert.equal(watch.last.attempts.length, 2)
  })

  test('beyond what the policy would wait means no further attempt', async (t) => {
    const { b, client } = await oneUnavailable(t, '60000')

    await assert.rejects(answer((done) => client({ mesh: READ }).read({}, done)))
    assert.equal(b.calls.read, undefined)
  })
})

describe('a call is committed', () => {
  test('by initial metadata', async (t) => {
    const handlers: TrialHandlers = {
      read: ((call, callback) => {
        call.sendMetadata(new grpc.Metadata())
        callback({ code: grpc.status.UNAVAILABLE, details: 'too late' })
      }) as grpc.handleUnaryCall<object, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t)])
    const { client, watch } = grpcEngine(t, { addresses: [a, b] })

    await assert.rejects(
      answer((done) => client({ mesh: READ }).read({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'too late' },
    )
    assert.equal(watch.last.attempts.length, 1)
    assert.equal(b.calls.read, undefined)
  })

  test('by the first message of a stream', async (t) => {
    const handlers: TrialHandlers = {
      spread: ((call) => {
        call.write({ server: 'a' })
        call.emit('error', { code: grpc.status.UNAVAILABLE, details: 'no more' })
      }) as grpc.handleServerStreamingCall<object, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t)])
    const { client, watch } = grpcEngine(t, { addresses: [a, b] })

    const call = client({ mesh: { idempotent: () => true } }).spread({ bytes: [1] })
    const got: Answer[] = []
    call.on('data', (one: Answer) => got.push(one))
    const [error] = await once(call, 'error')

    assert.equal(error.details, 'no more')
    assert.deepEqual(
      got.map(({ server }) => server),
      ['a'],
    )
    assert.equal(watch.last.attempts.length, 1)
  })

  test('by more than 64 KiB of messages', async (t) => {
    const handlers: TrialHandlers = {
      collect: ((call, callback) => {
        let bytes = 0
        call.on('data', ({ body }) => {
          bytes += body.length
          if (bytes >= 80_000) callback({ code: grpc.status.UNAVAILABLE, details: 'too much' })
        })
      }) as grpc.handleClientStreamingCall<{ body: Buffer }, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t)])
    const { client, watch } = grpcEngine(t, { addresses: [a, b] })

    const failed = answer((done) => {
      const call = client({ mesh: { idempotent: () => true } }).collect(done)
      call.on('error', () => {})
      call.write({ body: Buffer.alloc(40_000) })
      call.write({ body: Buffer.alloc(40_000) })
      call.end()
    })

    await assert.rejects(failed, { code: grpc.status.UNAVAILABLE })
    assert.equal(watch.last.attempts.length, 1)
  })

  test('but not by less, which is sent again in its order', async (t) => {
    const handlers: TrialHandlers = {
      collect: ((call, callback) => {
        call.on('data', () => {})
        call.on('end', () => callback({ code: grpc.status.UNAVAILABLE }))
      }) as grpc.handleClientStreamingCall<object, object>,
    }
    const seen: string[] = []
    const listening: TrialHandlers = {
      collect: ((call, callback) => {
        call.on('data', ({ body }) => void seen.push(String(body)))
        call.on('end', () => callback(null, { bytes: seen.length }))
      }) as grpc.handleClientStreamingCall<{ body: Buffer }, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t, { handlers: listening })])
    const { client } = grpcEngine(t, { addresses: [a, b] })

    const total = answer<{ bytes: number }>((done) => {
      const call = client({ mesh: { idempotent: () => true } }).collect(done)
      for (const word of ['one', 'two', 'three', 'four']) call.write({ body: Buffer.from(word) })
      call.end()
    })

    assert.deepEqual(await total, { bytes: 4 })
    assert.deepEqual(seen, ['one', 'two', 'three', 'four'])
  })
})

describe('the endpoint', () => {
  test('is not blamed for what is the caller’s fault', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [server] })

    for (const statusCode of [grpc.status.NOT_FOUND, grpc.status.INVALID_ARGUMENT, grpc.status.PERMISSION_DENIED]) {
      await assert.rejects(
        answer((done) => client().ask({ statusCode, statusDetails: 'as it is' }, done)),
        { code: statusCode, details: 'as it is' },
      )
      assert.equal(watch.last.reason, 'ok')
    }
  })

  test('is left when it goes away, and no idempotent call is lost under load', async (t) => {
    const servers = await serveGrpcs(t, 'abc')
    const { client, watch } = grpcEngine(t, { addresses: servers, balancer: turns })
    const meshed = client({ mesh: READ })
    let left = 600
    const worker = async () => {
      while (left-- > 0) {
        await answer((done) => meshed.read({ answerBytes: 100 }, done))
        if (left === 400) servers[0]?.kill()
      }
    }

    await Promise.all(Array.from({ length: 20 }, worker))

    assert.ok(watch.calls.every(({ reason }) => reason === 'ok'))
    assert.ok(watch.calls.some(({ attempts }) => attempts.length > 1))
  })

  test('is left when it drains, and no call at all is lost', async (t) => {
    const servers = await serveGrpcs(t, 'abc')
    const { client, watch } = grpcEngine(t, {
      addresses: servers,
      balancer: p2c({ load: peakEwma() }),
      gate: consecutiveFailures(),
    })
    const meshed = client()
    let left = 600
    const drained: Promise<void>[] = []
    const drain = (server: GrpcServer) =>
      drained.push(new Promise((resolve, reject) => server.server.tryShutdown((error) => (error ? reject(error) : resolve()))))
    const worker = async () => {
      while (left-- > 0) {
        await answer((done) => meshed.ask({ answerBytes: 100 }, done))
        if (left === 400) drain(servers[0] as GrpcServer)
        if (left === 200) drain(servers[1] as GrpcServer)
      }
    }

    await Promise.all(Array.from({ length: 20 }, worker))
    await Promise.all(drained)

    assert.ok(watch.calls.every(({ reason }) => reason === 'ok'))
  })

  test('is left as soon as it drains, before any call fails', async (t) => {
    const servers = await serveGrpcs(t, 'ab')
    const { client, watch, service } = grpcEngine(t, { addresses: servers, balancer: turns })
    const meshed = client()
    for (let i = 0; i < 4; i++) await answer((done) => meshed.ask({}, done))

    servers[0]?.server.tryShutdown(() => {})
    await until(() => service.counts.shut === 1)

    for (let i = 0; i < 4; i++) assert.equal((await answer<Answer>((done) => meshed.ask({}, done))).server, 'b')
    assert.ok(watch.calls.every(({ attempts }) => attempts.length === 1))
  })

  test('is left when it says on an answer that it is about to go', async (t) => {
    const handlers: TrialHandlers = {
      ask: ((_call, callback) => {
        const trailers = new grpc.Metadata()
        trailers.set(LEAVING_HEADER, 'true')
        callback(null, { server: 'leaving' }, trailers)
      }) as grpc.handleUnaryCall<object, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t, { name: 'b' })])
    const { client } = grpcEngine(t, { addresses: [a, b] })
    const meshed = client()

    assert.equal((await answer<Answer>((done) => meshed.ask({}, done))).server, 'leaving')
    assert.equal((await answer<Answer>((done) => meshed.ask({}, done))).server, 'b')
  })

  test('that turned a call away for load gets it no more, whatever it is', async (t) => {
    const handlers: TrialHandlers = {
      ask: ((_call, callback) => {
        const metadata = new grpc.Metadata()
        metadata.set(OVERLOADED_HEADER, 'true')
        callback({ code: grpc.status.RESOURCE_EXHAUSTED, details: 'busy', metadata })
      }) as grpc.handleUnaryCall<object, object>,
    }
    const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t, { name: 'b' })])
    const { client, watch } = grpcEngine(t, { addresses: [a, b] })

    assert.equal((await answer<Answer>((done) => client().ask({}, done))).server, 'b')
    assert.deepEqual(reasons(watch.last), ['overloaded', 'ok'])
    assert.deepEqual(b.metadata[0]?.get(CALLER_HEADER), ['web'])
  })

  test('may close its connections of a certain age, and no call is lost', async (t) => {
    const options = { 'grpc.max_connection_age_ms': 15, 'grpc.max_connection_age_grace_ms': 1_000 }
    const servers = await Promise.all([serveGrpc(t, { options }), serveGrpc(t, { options })])
    const { client, watch } = grpcEngine(t, { addresses: servers, balancer: turns })
    const meshed = client()
    const until = performance.now() + 150
    const worker = async () => {
      while (performance.now() < until) await answer((done) => meshed.ask({ answerBytes: 100 }, done))
    }

    await Promise.all(Array.from({ length: 5 }, worker))

    assert.ok(watch.calls.length > 0)
    assert.ok(watch.calls.every(({ reason }) => reason === 'ok'))
  })
})

const UNAVAILABLE: TrialHandlers = {
  read: ((_call, callback) => callback({ code: grpc.status.UNAVAILABLE, details: 'not now' })) as grpc.handleUnaryCall<
    object,
    object
  >,
}

/** Servers `a`, which can't, and `b`, which can; the first attempt goes to `a`. */
async function oneUnavailable(t: TestContext, pushback?: string) {
  const metadata = new grpc.Metadata()
  if (pushback !== undefined) metadata.set('grpc-retry-pushback-ms', pushback)
  const refuse: grpc.handleUnaryCall<object, object> = (_call, callback) =>
    callback({ code: grpc.status.UNAVAILABLE, details: 'not now', metadata })
  const handlers = { read: refuse, ask: refuse } as TrialHandlers
  const [a, b] = await Promise.all([serveGrpc(t, { handlers }), serveGrpc(t, { name: 'b' })])
  return { a, b, ...grpcEngine(t, { addresses: [a, b] }) }
}
