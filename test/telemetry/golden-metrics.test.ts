import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import * as verdicts from '../../src/core/verdict.ts'
import { CANCELLED, ERROR_STATUS, NO_ENDPOINT, OK, REASONS, type Verdict } from '../../src/core/verdict.ts'
import { EXPIRE_AFTER_MS, GoldenMetrics, type ServiceReading } from '../../src/telemetry/golden-metrics.ts'
import { MAX_SERIES } from '../../src/telemetry/service-series.ts'
import { AGAIN, OUTCOME_OF, reasonIndex } from '../../src/telemetry/traffic.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { aCall, address, SmallMesh } from './small-mesh.ts'

describe('golden metrics', () => {
  test('count calls and attempts apart', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    mesh.run(route, [{ verdict: verdicts.UNAVAILABLE, status: 503 }, { status: 200 }])
    mesh.run(route, [{ status: 200 }])

    const { routes, endpoints } = reading(mesh, 'voting')
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { ok: 2 })
    assert.equal(routes[0]?.calls.again(), 1)
    assert.deepEqual(reasons(routes[0]?.attempts), { ok: 2, unavailable: 1 })
    assert.equal(routes[0]?.retries, 1)
    assert.deepEqual([...(routes[0]?.statuses ?? [])], [0, 0, 2, 0, 0, 0])
    assert.equal(sum(endpoints.map((e) => e.attempts.ends.totals()[AGAIN] ?? 0)), 1)
    assert.equal(sum(endpoints.map((e) => e.attempts.ends.totals()[0] ?? 0)), 2)
  })

  test('count what is under way, by route and by endpoint', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))
    const call = aCall(route)

    mesh.metrics.callStarted(call, route)
    const attempt = mesh.start(route, call)
    const before = reading(mesh, 'voting')
    assert.deepEqual([before.routes[0]?.calls.inFlight, before.endpoints[0]?.attempts.inFlight], [1, 1])

    mesh.finish(attempt)
    mesh.metrics.callEnded(call, route, OK, 1, 1, 200)
    const after = reading(mesh, 'voting')
    assert.deepEqual([after.routes[0]?.calls.inFlight, after.endpoints[0]?.attempts.inFlight], [0, 0])
  })

  test('take the time this process stood still out of the time to the head only', () => {
    const mesh = new SmallMesh()
    const attempt = mesh.start(mesh.route(mesh.service('voting', ['10.0.0.1'])))

    mesh.clock.stall(500)
    mesh.finish(attempt)

    const [endpoint] = reading(mesh, 'voting').endpoints
    assert.equal(endpoint?.attempts.latency.sumMs, attempt.elapsedMs)
    assert.ok(attempt.elapsedMs < 50)
    assert.equal(endpoint?.whole.sumMs, 500)
  })

  test('measure to the head and to the last byte', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))

    mesh.run(route, [{ headMs: 20, bodyMs: 300 }])

    const { routes, endpoints } = reading(mesh, 'voting')
    assert.equal(endpoints[0]?.attempts.latency.sumMs, 20)
    assert.equal(endpoints[0]?.whole.sumMs, 320)
    assert.equal(routes[0]?.calls.latency.sumMs, 320)
  })

  test('take no latency from a call whose caller left', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))

    mesh.run(route, [{ verdict: CANCELLED, headMs: 20 }])

    const { routes, endpoints } = reading(mesh, 'voting')
    assert.deepEqual([routes[0]?.calls.latency.sumMs, endpoints[0]?.attempts.latency.sumMs, endpoints[0]?.whole.sumMs], [0, 0, 0])
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { cancelled: 1 })
  })

  test('count a call for which no attempt could be made', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', []))

    mesh.metrics.callStarted(aCall(route), route)
    mesh.metrics.callEnded(aCall(route), route, NO_ENDPOINT, 3_000, 0, 0)

    const { routes, endpoints } = reading(mesh, 'voting')
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { no_endpoint: 1 })
    assert.equal(routes[0]?.statuses[0], 1)
    assert.deepEqual(endpoints, [])
  })

  test('keep the series of an endpoint that left, and bring its in-flight to 0', () => {
    const mesh = new SmallMesh()
    const service = mesh.service('voting', ['10.0.0.1'])
    const route = mesh.route(service)
    const attempt = mesh.start(route)

    service.update([address('10.0.0.2')])
    mesh.finish(attempt)

    const [gone] = reading(mesh, 'voting').endpoints
    assert.equal(gone?.name, '10.0.0.1:8080')
    assert.equal(gone.attempts.inFlight, 0)
    assert.deepEqual(reasons(gone.attempts.ends.totals()), { ok: 1 })
  })

  test('count an endpoint in one series when its traits change under way', () => {
    const mesh = new SmallMesh()
    const service = mesh.service('voting', ['10.0.0.1'])
    const route = mesh.route(service)
    const attempt = mesh.start(route)

    service.update([{ host: '10.0.0.1', port: 8080, weight: 3 }])
    mesh.run(route, [{}])
    mesh.finish(attempt)

    const { endpoints } = reading(mesh, 'voting')
    assert.equal(endpoints.length, 1)
    assert.deepEqual(reasons(endpoints[0]?.attempts.ends.totals()), { ok: 2 })
    assert.equal(endpoints[0]?.attempts.inFlight, 0)
  })

  test('give up a series after ten idle minutes, and begin anew when it is used again', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))
    mesh.run(route, [{}])

    mesh.clock.advance(EXPIRE_AFTER_MS - 1)
    mesh.metrics.read()
    assert.equal(reading(mesh, 'voting').routes.length, 1)
    mesh.clock.advance(10_000)
    mesh.metrics.read()
    assert.deepEqual([reading(mesh, 'voting').routes, reading(mesh, 'voting').endpoints], [[], []])

    mesh.run(route, [{}])
    const { routes, endpoints } = reading(mesh, 'voting')
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { ok: 1 })
    assert.deepEqual(reasons(endpoints[0]?.attempts.ends.totals()), { ok: 1 })
  })

  test('give up no series that is used now and then', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))

    for (let i = 0; i < 3; i++) {
      mesh.run(route, [{}])
      mesh.clock.advance(0.7 * EXPIRE_AFTER_MS)
      mesh.metrics.read()
    }

    const { series, routes, endpoints } = reading(mesh, 'voting')
    const [http] = series.http.series.values()
    assert.equal(http?.duration.counts[0], 3)
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { ok: 3 })
    assert.deepEqual(reasons(endpoints[0]?.attempts.ends.totals()), { ok: 3 })
  })

  test('give up no series with something under way', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))
    const call = aCall(route)
    mesh.metrics.callStarted(call, route)
    const attempt = mesh.start(route, call)

    mesh.clock.advance(2 * EXPIRE_AFTER_MS)
    mesh.metrics.read()
    mesh.finish(attempt)
    mesh.metrics.callEnded(call, route, OK, 1, 1, 200)

    const { routes, endpoints } = reading(mesh, 'voting')
    assert.deepEqual([routes[0]?.calls.inFlight, endpoints[0]?.attempts.inFlight], [0, 0])
  })

  test('look for idle series when endpoints change, at most once a minute', () => {
    const mesh = new SmallMesh()
    const service = mesh.service('voting', ['10.0.0.1'])
    const route = mesh.route(service)
    mesh.run(route, [{}])

    mesh.clock.advance(EXPIRE_AFTER_MS + 10_000)
    service.update([address('10.0.0.2')])

    assert.deepEqual(reading(mesh, 'voting').endpoints, [])
  })

  test('count the endpoints beyond a thousand together, and lose none of their attempts', () => {
    const mesh = new SmallMesh()
    const hosts = Array.from({ length: MAX_SERIES + 5 }, (_, i) => ({ host: '10.0.0.1', port: 1_000 + i }))
    const route = mesh.route(mesh.service('voting', hosts))

    const attempts = hosts.map(() => mesh.start(route))
    const underWay = sum(reading(mesh, 'voting').endpoints.map((e) => e.attempts.inFlight))
    for (const attempt of attempts) mesh.finish(attempt)

    const { endpoints } = reading(mesh, 'voting')
    assert.equal(endpoints.length, MAX_SERIES + 1)
    assert.equal(endpoints.at(-1)?.name, undefined)
    assert.equal(underWay, hosts.length)
    assert.equal(sum(endpoints.map((e) => e.attempts.inFlight)), 0)
    assert.equal(sum(endpoints.map((e) => e.attempts.ends.totals()[0] ?? 0)), hosts.length)
  })

  test('tell apart the first hundred hosts outside the mesh', () => {
    const { metrics } = new SmallMesh()

    for (let i = 0; i < 105; i++) metrics.egress(`host-${i}.example`)
    metrics.egress('host-3.example')

    const { egress } = metrics.read()
    assert.equal(egress.length, 101)
    assert.equal(egress.find((e) => e.host === 'host-3.example')?.calls, 2)
    assert.deepEqual([egress.at(-1)?.host, egress.at(-1)?.calls], [undefined, 5])
  })

  test('bound the combinations of method and status', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1']))

    for (let status = 200; status < 500; status++) mesh.run(route, [{ status }])

    assert.equal([...reading(mesh, 'voting').series.http.series.values()].length, 201)
  })

  test('go on counting when a service is made anew under its name', () => {
    const mesh = new SmallMesh()
    mesh.run(mesh.route(mesh.service('voting')), [{}])
    const second = mesh.service('voting')
    mesh.run(mesh.route(second), [{}])

    const { series, routes } = reading(mesh, 'voting')
    assert.equal(series.service, second)
    assert.deepEqual(reasons(routes[0]?.calls.ends.totals()), { ok: 2 })
  })

  test('forget a closed service once its series are idle', () => {
    const mesh = new SmallMesh()
    const service = mesh.service('voting')
    mesh.run(mesh.route(service), [{}])

    mesh.metrics.forget(service)
    assert.equal(mesh.metrics.read().services.length, 1)
    mesh.clock.advance(EXPIRE_AFTER_MS + 10_000)
    mesh.metrics.read()

    assert.deepEqual(mesh.metrics.read().services, [])
  })

  test('start no timer', () => {
    const clock = new VirtualClock()

    new GoldenMetrics(clock).egress('example.org')

    assert.equal(clock.pending, 0)
  })

  test('refuse options that they do not know, and methods that are none', () => {
    const clock = new VirtualClock()

    assert.throws(() => new GoldenMetrics(clock, { knownMethods: ['get'] }), {
      code: 'INMESH_CONFIG',
      message: 'metrics.knownMethods: expected at most 32 methods in upper case, got an array',
    })
    assert.throws(() => new GoldenMetrics(clock, { methods: [] } as never), {
      code: 'INMESH_CONFIG',
      message: /metrics\.methods: unknown/,
    })
  })
})

describe('the outcome of a reason', () => {
  test('is the one that every shared verdict has', () => {
    const all = Object.values(verdicts).filter((v): v is Verdict => typeof v === 'object' && 'outcome' in v)

    assert.deepEqual(new Set(all.map((v) => v.reason)), new Set(REASONS))
    for (const verdict of all) {
      assert.equal(OUTCOME_OF[verdict.reason], verdict.outcome, verdict.reason)
      assert.equal(REASONS[reasonIndex(verdict)], verdict.reason)
    }
    assert.equal(reasonIndex(ERROR_STATUS), REASONS.indexOf('error_status'))
  })
})

function reading(mesh: SmallMesh, name: string): ServiceReading {
  const found = mesh.metrics.read().services.find((s) => s.series.name === name)
  assert.ok(found)
  return found
}

function reasons(ends: Float64Array | undefined): Record<string, number> {
  return Object.fromEntries(REASONS.map((reason, i) => [reason, ends?.[i] ?? 0]).filter(([, count]) => count !== 0))
}

function sum(list: readonly number[]): number {
  return list.reduce((a, b) => a + b, 0)
}
