import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { noObserver, type Observer } from '../../src/core/observer.ts'
import { withContext } from '../../src/core/request-context.ts'
import { grpcInterceptor } from '../../src/intercept/grpc/interceptor.ts'
import { opossumBreaker } from '../../src/resilience/opossum.ts'
import { type EngineOptions, until } from '../support/engine.ts'
import { requestContext } from '../support/grpc-context.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import { type Answer, Trial, type TrialClient, type TrialHandlers } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'

describe('the interceptor', () => {
  test('counts a call to the service, whose endpoint grpc-js finds', async (t) => {
    const { client, watch } = await intercepted(t)

    const { server } = await answer<Answer>((done) => client.ask({}, done))
    await assert.rejects(answer((done) => client.ask({ statusCode: grpc.status.INTERNAL }, done)))

    assert.equal(server, 'a')
    assert.deepEqual(
      watch.calls.map(({ path, reason, attempts }) => [path, reason, attempts.length]),
      [
        ['/inmesh.trial.Trial/Ask', 'ok', 0],
        ['/inmesh.trial.Trial/Ask', 'error_status', 0],
      ],
    )
  })

  test('tells the status that the call ended with', async (t) => {
    const codes: unknown[] = []
    const observer: Observer = { ...noObserver, callEnded: (call) => codes.push((call as { statusCode?: number }).statusCode) }
    const { client } = await intercepted(t, { observer })

    await assert.rejects(answer((done) => client.ask({ statusCode: grpc.status.NOT_FOUND }, done)))

    assert.deepEqual(codes, [grpc.status.NOT_FOUND])
  })

  test('counts streams', async (t) => {
    const { client, watch } = await intercepted(t)

    assert.equal((await client.spread({ bytes: [1, 2] }).toArray()).length, 2)
    await until(() => watch.last.reason === 'ok')
  })

  test('bounds a call by the route’s time', async (t) => {
    const { client, watch } = await intercepted(t, { timeoutMs: 25 }, SILENT)

    await assert.rejects(
      answer((done) => client.ask({}, done)),
      { code: grpc.status.DEADLINE_EXCEEDED },
    )
    assert.equal(watch.last.reason, 'timeout')
  })

  test('ends a call when the caller leaves for which it is made', async (t) => {
    const { client, watch, calls } = await intercepted(t, {}, SILENT)
    const leaves = new AbortController()

    const failed = withContext(requestContext({ leaves: leaves.signal }), () => answer((done) => client.ask({}, done)))
    await until(() => calls.ask === 1)
    leaves.abort(new Error('gone'))

    await assert.rejects(failed, { code: grpc.status.CANCELLED, details: 'gone' })
    assert.equal(watch.last.reason, 'cancelled')
  })

  test('refuses while the service’s breaker is open', async (t) => {
    const { client, watch } = await intercepted(t, { breaker: opossumBreaker({ minCalls: 1 }) })

    await assert.rejects(answer((done) => client.ask({ statusCode: grpc.status.INTERNAL }, done)))
    await assert.rejects(
      answer((done) => client.ask({}, done)),
      { code: grpc.status.UNAVAILABLE, details: 'voting: breaker open' },
    )
    assert.equal(watch.last.reason, 'breaker_open')
  })

  test('leaves calls to others as they are, and counts them as such', async (t) => {
    const { client, watch, egress } = await intercepted(t, {}, {}, 'elsewhere:80')

    assert.equal((await answer<Answer>((done) => client.ask({}, done))).server, 'a')
    assert.deepEqual(watch.calls, [])
    assert.deepEqual(egress, ['http://elsewhere:80'])
  })
})

const SILENT: TrialHandlers = { ask: (() => {}) as grpc.handleUnaryCall<object, object> }

/** A client of its own making, with nothing but the interceptor. */
async function intercepted(
  t: TestContext,
  options: Partial<EngineOptions> = {},
  handlers: TrialHandlers = {},
  service = 'voting',
) {
  const server = await serveGrpc(t, { handlers })
  const { parts, ...engine } = grpcEngine(t, { addresses: [], ...options })
  const client: TrialClient = new Trial(`127.0.0.1:${server.port}`, grpc.credentials.createInsecure(), {
    interceptors: [grpcInterceptor(parts, service)],
  })
  cleanup(t, () => client.close())
  return { ...engine, client, calls: server.calls }
}
