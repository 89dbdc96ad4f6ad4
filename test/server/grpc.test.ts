import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import grpc from '@grpc/grpc-js'
import type { Inbound } from '../../src/core/inbound.ts'
import { readLoadReport } from '../../src/core/load-report.ts'
import { currentContext } from '../../src/core/request-context.ts'
import { inboundOf } from '../../src/server/grpc-inbound.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { rateLimit } from '../../src/server/limits/rate-limit.ts'
import { answer } from '../support/grpc-engine.ts'
import type { Answer, Question } from '../support/grpc-trial.ts'
import { cleanup, testCertificate } from '../support/servers.ts'
import { failure, serveGrpc } from './support/grpc-serving.ts'
import { EMPTY_MESSAGE, rawGrpcClient } from './support/raw-grpc-client.ts'

type Unary = grpc.handleUnaryCall<Question, object>
const ASK = '/inmesh.trial.Trial/Ask'

function metadataOf(pairs: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [name, value] of Object.entries(pairs)) metadata.set(name, value)
  return metadata
}

/** A handler that keeps what it is called with, and answers when told to. */
function waiting() {
  const calls: { inbound: Inbound | undefined; finish: () => void }[] = []
  const ask: Unary = (call, callback) => void calls.push({ inbound: inboundOf(call), finish: () => callback(null, {}) })
  const came = async (count: number) => {
    while (calls.length < count) await turn()
  }
  return { ask, calls, came }
}

describe('a handler', () => {
  test('finds what the mesh knows of its call', async (t) => {
    let inbound: Inbound | undefined
    const ask: Unary = (call, callback) => {
      inbound = inboundOf(call)
      callback(null, {})
    }
    const { client, seen, mesh } = await serveGrpc(t, { handlers: { ask } })

    const metadata = metadataOf({
      'grpc-previous-rpc-attempts': '1',
      'x-envoy-downstream-service-cluster': 'web',
      'x-forwarded-for': '6.6.6.6',
      'x-note': 'a',
    })
    metadata.add('x-note', 'b')
    await answer((done) => client.ask({}, metadata, done))
    await seen.whenEnded(1)

    assert.ok(inbound !== undefined)
    assert.deepEqual([inbound.protocol, inbound.method, inbound.path, inbound.route], ['grpc', 'POST', ASK, ASK])
    assert.deepEqual([inbound.attempt, inbound.caller, inbound.clientAddress], [2, 'web', '127.0.0.1'])
    assert.deepEqual(inbound.peer, { address: '127.0.0.1', identity: undefined })
    assert.equal(inbound.header('x-note'), 'a, b')
    assert.equal(inbound.header('x-none'), undefined)
    assert.deepEqual(seen.lines, [`started POST ${ASK}`, `ended 0 ok ${ASK}`])
    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('knows who a proxy that is trusted says the client is', async (t) => {
    let inbound: Inbound | undefined
    const ask: Unary = (call, callback) => {
      inbound = inboundOf(call)
      callback(null, {})
    }
    const { client } = await serveGrpc(t, { handlers: { ask }, inbound: { trustedProxies: ['127.0.0.1'] } })

    await answer((done) => client.ask({}, metadataOf({ 'x-forwarded-for': '10.9.8.7' }), done))

    assert.equal(inbound?.clientAddress, '10.9.8.7')
  })

  test('has so long as the caller waits', async (t) => {
    const remaining: number[] = []
    const ask: Unary = (_call, callback) => {
      remaining.push((currentContext()?.deadline ?? Number.NaN) - performance.now())
      callback(null, {})
    }
    const { client } = await serveGrpc(t, { handlers: { ask } })

    await answer((done) => client.ask({}, new grpc.Metadata(), { deadline: Date.now() + 5_000 }, done))
    await answer((done) =>
      client.ask({}, metadataOf({ 'x-envoy-expected-rq-timeout-ms': '3000' }), { deadline: Date.now() + 5_000 }, done),
    )
    await answer((done) => client.ask({}, done))

    const [own = 0, lesser = 0, none = 0] = remaining
    assert.ok(own > 3_000 && own <= 5_000, `${own}`)
    assert.ok(lesser > 1_000 && lesser <= 3_000, `${lesser}`)
    assert.equal(none, Number.POSITIVE_INFINITY)
  })

  test('sees its deadline pass, whether grpc-js is first to see it or not', async (t) => {
    const reasons: string[] = []
    const ask: Unary = (call) => void inboundOf(call)?.onLeave(({ name }) => reasons.push(name))
    const { port, seen, mesh } = await serveGrpc(t, { handlers: { ask } })
    const client = rawGrpcClient(t, port)

    const code = await client.code(client.call(ASK, { 'grpc-timeout': '20m' }, EMPTY_MESSAGE))
    await seen.whenEnded(1)

    assert.equal(code, grpc.status.DEADLINE_EXCEEDED)
    assert.deepEqual(reasons, ['TimeoutError'])
    assert.deepEqual(seen.endings, [`ended 4 timeout ${ASK}`])
    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('whose caller gives up at the deadline has been too slow', async (t) => {
    const { client, seen } = await serveGrpc(t, { handlers: { ask: () => {} } })

    const error = await failure(answer((done) => client.ask({}, new grpc.Metadata(), { deadline: Date.now() + 30 }, done)))
    await seen.whenEnded(1)

    assert.equal(error.code, grpc.status.DEADLINE_EXCEEDED)
    assert.match(seen.endings[0] ?? '', /^ended [14] timeout /)
  })

  for (const [kind, start] of [
    ['unary', 'ask'],
    ['that streams its answer', 'spread'],
    ['that is streamed to', 'collect'],
    ['that streams both ways', 'converse'],
  ] as const) {
    test(`${kind} sees its caller leave`, async (t) => {
      const left = Promise.withResolvers<Error>()
      const began = Promise.withResolvers<void>()
      const handler = (call: grpc.ServerUnaryCall<unknown, unknown>) => {
        inboundOf(call)?.onLeave(left.resolve)
        began.resolve()
      }
      const { client, seen, mesh } = await serveGrpc(t, { handlers: { [start]: handler } })

      const call =
        start === 'ask'
          ? client.ask({}, () => {})
          : start === 'spread'
            ? client.spread({ bytes: [] })
            : start === 'collect'
              ? client.collect(() => {})
              : client.converse()
      call.on('error', () => {})
      if (start === 'collect' || start === 'converse') (call as grpc.ClientWritableStream<Question>).write({})
      await began.promise
      call.cancel()

      assert.equal((await left.promise).name, 'AbortError')
      await seen.whenEnded(1)
      assert.deepEqual(
        seen.endings.map((line) => line.split(' ', 3).join(' ')),
        ['ended 1 cancelled'],
      )
      assert.equal(mesh.inbound.inFlight, 0)
    })
  }

  test('sees a caller leave whose process is gone', async (t) => {
    const { ask, calls, came } = waiting()
    const { port, seen } = await serveGrpc(t, { handlers: { ask } })
    const client = rawGrpcClient(t, port)
    client.call(ASK, {}, EMPTY_MESSAGE)
    await came(1)
    const left = new Promise<Error>((resolve) => void calls[0]?.inbound?.onLeave(resolve))

    client.session.destroy()

    assert.equal((await left).name, 'AbortError')
    await seen.whenEnded(1)
    assert.match(seen.endings[0] ?? '', /^ended 1 cancelled/)
  })

  test('is found to be nobody where there is no mesh', () => {
    assert.equal(inboundOf({ metadata: new grpc.Metadata() }), undefined)
  })
})

describe('the context', () => {
  const mine = (call: { metadata: grpc.Metadata }) => currentContext() !== undefined && currentContext() === inboundOf(call)

  test('reaches unary handlers, and each has its own', async (t) => {
    const ask: Unary = async (call, callback) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      callback(null, { server: `${mine(call)} ${currentContext()?.caller}` })
    }
    const { client } = await serveGrpc(t, { handlers: { ask } })

    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        answer<Answer>((done) => client.ask({}, metadataOf({ 'x-envoy-downstream-service-cluster': `web-${i}` }), done)),
      ),
    )

    assert.deepEqual(
      answers.map(({ server }) => server),
      Array.from({ length: 50 }, (_, i) => `true web-${i}`),
    )
    assert.equal(currentContext(), undefined)
  })

  test('reaches handlers that stream their answer, and what they do when they may write on', async (t) => {
    const contexts: boolean[] = []
    const spread: grpc.handleServerStreamingCall<object, object> = (call) => {
      contexts.push(mine(call))
      let left = 40
      const write = (): void => {
        while (left-- > 0) if (!call.write({ body: Buffer.alloc(50_000) }, () => contexts.push(mine(call)))) break
        if (left > 0)
          return void call.once('drain', () => {
            contexts.push(mine(call))
            write()
          })
        call.once('finish', () => contexts.push(mine(call)))
        call.end()
      }
      write()
    }
    const { client } = await serveGrpc(t, { handlers: { spread } })

    const answers = await client.spread({ bytes: [] }).toArray()

    assert.equal(answers.length, 40)
    assert.ok(contexts.length > 42, `${contexts.length}`)
    assert.deepEqual(new Set(contexts), new Set([true]))
  })

  for (const method of ['collect', 'converse'] as const) {
    test(`reaches the events of handlers that are streamed to (${method})`, async (t) => {
      const contexts: [string, boolean][] = []
      const handler = (call: grpc.ServerDuplexStream<Question, object>, callback?: (error: null, value: object) => void) => {
        const note = (event: string) => contexts.push([event, mine(call)])
        note('begin')
        call.on('data', () => note('data'))
        call.on('end', () => {
          note('end')
          if (callback === undefined) call.end()
          else callback(null, {})
        })
        call.on('cancelled', () => note('cancelled'))
        call.on('close', () => note('close'))
      }
      const { client, seen } = await serveGrpc(t, { handlers: { [method]: handler } })
      const call = method === 'collect' ? client.collect(() => {}) : client.converse()
      const over = once(call, 'status')

      call.write({})
      await turn()
      call.write({ body: Buffer.alloc(100_000) })
      await turn()
      call.end()
      if (method === 'converse') (call as grpc.ClientDuplexStream<Question, Answer>).resume()
      await over
      await seen.whenEnded(1)
      await turn()

      const events = contexts.map(([event]) => event)
      assert.deepEqual(events.slice(0, 4), ['begin', 'data', 'data', 'end'])
      assert.deepEqual(
        contexts.filter(([, isMine]) => !isMine),
        [],
      )
    })
  }

  test('reaches handlers that read with for await', async (t) => {
    const contexts: boolean[] = []
    const converse = async (call: grpc.ServerDuplexStream<Question, object>) => {
      // older Node.js destroys both directions when the loop is over
      for await (const _ of call.iterator({ destroyOnReturn: false })) {
        contexts.push(mine(call))
        call.write({})
      }
      contexts.push(mine(call))
      call.end()
    }
    const { client } = await serveGrpc(t, { handlers: { converse } })
    const call = client.converse()

    for (let i = 0; i < 3; i++) {
      call.write({})
      await once(call, 'data')
    }
    call.end()
    await once(call, 'end')

    assert.deepEqual(contexts, [true, true, true, true])
  })

  test('reaches other interceptors', async (t) => {
    const contexts: (string | undefined)[] = []
    const other: grpc.ServerInterceptor = (_method, call) =>
      new grpc.ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, go) => {
              contexts.push(currentContext()?.caller)
              setTimeout(go, 1, metadata)
            },
            onReceiveMessage: (message, go) => {
              contexts.push(currentContext()?.caller)
              go(message)
            },
          }),
      })
    const { client } = await serveGrpc(t, { interceptors: [other] })

    await answer((done) => client.ask({}, metadataOf({ 'x-envoy-downstream-service-cluster': 'web' }), done))

    assert.deepEqual(contexts, ['web', 'web'])
  })
})

describe('a call that is refused', () => {
  test('for load is told to try elsewhere, and never reaches its handler', async (t) => {
    const { ask, calls, came } = waiting()
    const admissions = [concurrencyLimit({ limit: fixedLimit({ requests: 1 }), retryAfterMs: 250 })]
    const { client, seen } = await serveGrpc(t, { handlers: { ask }, inbound: { admissions } })
    const first = answer((done) => client.ask({}, done))
    await came(1)

    const { code, details, metadata } = await failure(answer((done) => client.ask({}, done)))
    calls[0]?.finish()
    await first

    assert.deepEqual([code, details], [grpc.status.UNAVAILABLE, 'overloaded'])
    assert.deepEqual(metadata.get('x-envoy-overloaded'), ['true'])
    assert.deepEqual(metadata.get('grpc-retry-pushback-ms'), ['250'])
    assert.equal(calls.length, 1)
    await seen.whenEnded(2)
    assert.ok(seen.lines.includes(`ended 14 overloaded ${ASK}`))
    assert.deepEqual(await answer((done) => client.empty({}, done)), {})
  })

  test('for its rate is told when to come again', async (t) => {
    const { client } = await serveGrpc(t, { inbound: { admissions: [rateLimit({ perSecond: 0.1, burst: 1 })] } })

    await answer((done) => client.ask({}, done))
    const { code, metadata } = await failure(answer((done) => client.ask({}, done)))

    assert.equal(code, grpc.status.RESOURCE_EXHAUSTED)
    assert.deepEqual(metadata.get('x-envoy-ratelimited'), ['true'])
    const [pushback] = metadata.get('grpc-retry-pushback-ms')
    assert.ok(Number(pushback) > 1_000 && Number(pushback) <= 10_000, `${pushback}`)
  })

  test('is refused whatever it streams', async (t) => {
    const { client, seen } = await serveGrpc(t, { inbound: { admissions: [rateLimit({ perSecond: 0.01, burst: 1 })] } })
    await answer((done) => client.ask({}, done))

    const collected = failure(
      answer((done) => {
        const call = client.collect(done)
        call.write({ body: Buffer.alloc(500_000) })
        call.end()
      }),
    )
    const call = client.converse()
    call.on('data', () => {})
    call.write({ body: Buffer.alloc(500_000) })
    const [error] = await once(call, 'error')

    assert.deepEqual([(await collected).code, error.code], [grpc.status.RESOURCE_EXHAUSTED, grpc.status.RESOURCE_EXHAUSTED])
    await seen.whenEnded(3)
  })

  test('for a deadline that has passed gets DEADLINE_EXCEEDED, when that is switched on', async (t) => {
    const ask = () => assert.fail('the handler ran')
    const { client, seen } = await serveGrpc(t, { handlers: { ask }, inbound: { enforceDeadlines: true } })

    const { code } = await failure(answer((done) => client.ask({}, metadataOf({ 'x-envoy-expected-rq-timeout-ms': '0' }), done)))
    await seen.whenEnded(1)

    assert.equal(code, grpc.status.DEADLINE_EXCEEDED)
    assert.deepEqual(seen.lines.slice(1), ['refused deadline_passed enforced', `ended 4 deadline_passed ${ASK}`])
  })

  test('for a deadline that has passed is only counted, by default', async (t) => {
    const { client, seen } = await serveGrpc(t)

    await answer((done) => client.ask({}, metadataOf({ 'x-envoy-expected-rq-timeout-ms': '0' }), done))
    await seen.whenEnded(1)

    assert.deepEqual(seen.lines.slice(1), ['refused deadline_passed shadow', `ended 0 ok ${ASK}`])
  })

  test('gives its permit back at the first message of an endless answer', async (t) => {
    const spread: grpc.handleServerStreamingCall<object, object> = (call) => void call.write({})
    const admissions = [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })]
    const { client } = await serveGrpc(t, { handlers: { spread }, inbound: { admissions } })
    const endless = client.spread({ bytes: [] })
    endless.on('error', () => {})
    await once(endless, 'data')

    await answer((done) => client.ask({}, done))

    endless.cancel()
  })
})

describe('a call that ends', () => {
  test('is counted by the code that was sent', async (t) => {
    const { client, seen } = await serveGrpc(t)
    const codes = [0, 2, 3, 5, 8, 13, 14]

    for (const statusCode of codes) await answer((done) => client.ask({ statusCode }, done)).catch(() => {})
    await seen.whenEnded(codes.length)

    assert.deepEqual(
      seen.endings.map((line) => line.split(' ').slice(1, 3).join(' ')),
      ['0 ok', '2 error_status', '3 ok', '5 ok', '8 ok', '13 error_status', '14 error_status'],
    )
  })

  test('to a method that is not there is counted without a route', async (t) => {
    const { port, seen, mesh } = await serveGrpc(t)
    const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
    cleanup(t, () => client.close())
    const asItIs = (bytes: Buffer) => bytes

    const { code } = await failure(
      answer((done) =>
        client.makeUnaryRequest(
          '/no.Such/Method',
          asItIs,
          asItIs,
          Buffer.alloc(0),
          metadataOf({ 'x-envoy-downstream-service-cluster': 'web' }),
          done,
        ),
      ),
    )
    await seen.whenEnded(1)

    assert.equal(code, grpc.status.UNIMPLEMENTED)
    assert.deepEqual(seen.lines, ['started POST /no.Such/Method', 'ended 12 ok'])
    assert.equal(seen.inbounds[0]?.caller, 'web')
    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('tells each connection each load report once', async (t) => {
    const { client, connect } = await serveGrpc(t, { inbound: { loadReports: true }, parts: { loop: () => 0.5 } })
    const other = connect()
    const report = async (from: typeof client) => {
      const call = from.ask({}, () => {})
      const [{ metadata }] = (await once(call, 'status')) as [grpc.StatusObject]
      const [bytes] = metadata.get('endpoint-load-metrics-bin')
      return bytes === undefined ? undefined : readLoadReport(bytes.toString('base64'))?.applicationUtilization
    }

    assert.deepEqual([await report(client), await report(client), await report(other)], [0.5, undefined, 0.5])
  })

  test('tells that this process is leaving', async (t) => {
    const { client, mesh } = await serveGrpc(t)
    const leaving = async () => {
      const call = client.ask({}, () => {})
      const [{ metadata }] = (await once(call, 'status')) as [grpc.StatusObject]
      return metadata.get('x-envoy-immediate-health-check-fail')
    }

    assert.deepEqual(await leaving(), [])
    mesh.inbound.state = 'leaving'
    assert.deepEqual(await leaving(), ['true'])
    mesh.inbound.state = 'left'
    const { code, details } = await failure(answer((done) => client.ask({}, done)))
    assert.deepEqual([code, details], [grpc.status.UNAVAILABLE, 'draining'])
  })
})

test('a certificate that was verified is shown to whoever says whose it is', async (t) => {
  const { key, cert } = testCertificate
  const bytes = [Buffer.from(cert), Buffer.from(key)] as const
  let identity: string | undefined
  const ask: Unary = (call, callback) => {
    identity = inboundOf(call)?.peer.identity
    callback(null, {})
  }
  const identityOf = (socket: unknown) =>
    (socket as { getPeerCertificate(): { subject: { CN: string } } }).getPeerCertificate().subject.CN
  const { client } = await serveGrpc(t, {
    handlers: { ask },
    parts: { identityOf },
    credentials: grpc.ServerCredentials.createSsl(bytes[0], [{ private_key: bytes[1], cert_chain: bytes[0] }], true),
    clientCredentials: grpc.credentials.createSsl(bytes[0], bytes[1], bytes[0]),
  })

  await answer((done) => client.ask({}, done))

  assert.equal(identity, 'localhost')
})
