import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { CANCELLED, OK, OVERLOADED, REFUSED, UNAVAILABLE } from '../../src/core/verdict.ts'
import { EXPIRE_AFTER_MS } from '../../src/telemetry/golden-metrics.ts'
import { mergeStats } from '../../src/telemetry/merge-stats.ts'
import { type MeshStats, type ServiceStats, statsOf } from '../../src/telemetry/stats.ts'
import { aCall, address, SmallMesh } from './small-mesh.ts'

describe('stats', () => {
  test('say what the callers saw and what was sent', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    mesh.run(route, [{ verdict: UNAVAILABLE, headMs: 100 }, { headMs: 100 }])
    mesh.run(route, [{ headMs: 100, bodyMs: 100 }])
    mesh.run(route, [{ verdict: OVERLOADED, headMs: 100 }])
    mesh.run(route, [{ verdict: CANCELLED, headMs: 500 }])

    const { calls, attempts, budget, routes } = service(statsOf(mesh.metrics, 'web'), 'voting')

    assert.deepEqual(pick(calls), { total: 4, success: 2, failure: 1, ignored: 1, retries: 1, successRate: 2 / 3, rps: 4 })
    assert.deepEqual(pick(attempts), { total: 5, success: 2, failure: 2, ignored: 1, retries: 1, successRate: 1 / 2, rps: 5 })
    assert.deepEqual(calls.reasons, { ok: 2, overloaded: 1, cancelled: 1 })
    assert.deepEqual(attempts.reasons, { ok: 2, unavailable: 1, overloaded: 1, cancelled: 1 })
    near(calls.p99Ms, 200)
    near(attempts.p99Ms, 100)
    assert.deepEqual(budget, { balance: 42 })
    assert.deepEqual(
      routes.map((r) => [r.name, r.calls.total]),
      [['default', 4]],
    )
  })

  test('look back on the last seconds apart from the whole', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    for (let i = 0; i < 10; i++) mesh.run(route, [{ headMs: 1_000 }])
    mesh.clock.advance(20_000)
    for (let i = 0; i < 6; i++) mesh.run(route, [{ headMs: 10 }])
    mesh.clock.advance(940)

    const { calls } = service(statsOf(mesh.metrics, ''), 'voting')

    assert.deepEqual([calls.total, calls.recent.total], [16, 6])
    near(calls.p50Ms, 1_000)
    near(calls.recent.p50Ms, 10)
    assert.equal(calls.periodMs, 31_000)
    assert.deepEqual([calls.recent.periodMs, calls.recent.rps], [6_000, 1])
  })

  test('count a call that was refused without an attempt among the latest', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    mesh.run(route, [{ headMs: 10 }])

    mesh.clock.advance(60_000)
    mesh.metrics.callStarted(aCall(route), route)
    mesh.metrics.callEnded(aCall(route), route, REFUSED, 1, 0, 0)

    const { calls } = service(statsOf(mesh.metrics, ''), 'voting')
    assert.deepEqual(calls.recent.reasons, { refused: 1 })
  })

  test('have a rate and percentiles only when there is something to take them of', () => {
    const mesh = new SmallMesh()
    mesh.service('voting')

    const { calls } = service(statsOf(mesh.metrics, ''), 'voting')

    assert.deepEqual([calls.successRate, calls.p50Ms, calls.rps, calls.recent.successRate], [null, null, 0, null])
  })

  test('list the endpoints with their state', () => {
    const mesh = new SmallMesh()
    const hosts = [
      { ...address('10.0.0.1'), zone: 'a', weight: 2 },
      address('10.0.0.2'),
      address('10.0.0.3'),
      address('10.0.0.4'),
    ]
    const voting = mesh.service('voting', hosts)
    mesh.run(mesh.route(voting), [{ headMs: 10 }])
    mesh.shut(voting, mesh.gates.slice(1))

    const { endpoints } = service(statsOf(mesh.metrics, ''), 'voting')

    assert.deepEqual({ ...endpoints, list: [] }, { total: 4, ready: 2, shut: 3, list: [] })
    assert.deepEqual(
      endpoints.list.map((e) => [e.name, e.zone, e.weight, e.state, e.inFlight]),
      [
        ['10.0.0.1:8080', 'a', 2, 'ready', 0],
        ['10.0.0.2:8080', undefined, 1, 'ejected', 0],
        ['10.0.0.3:8080', undefined, 1, 'ejected', 0],
        ['10.0.0.4:8080', undefined, 1, 'forced', 0],
      ],
    )
    assert.equal(endpoints.list.filter((e) => e.attempts?.total === 1).length, 1)
  })

  test('tell of each endpoint whether it is called by TLS, and whom it has proved to be', () => {
    const mesh = new SmallMesh()
    const voting = mesh.service('voting', [
      { ...address('10.0.0.1'), identity: OLD_VOTING },
      { ...address('10.0.0.2'), identity: VOTING },
      address('10.0.0.3'),
      { ...address('10.0.0.4'), identity: VOTING },
    ])
    const [proved, , plain, off] = voting.endpoints as [Endpoint, Endpoint, Endpoint, Endpoint]

    const before = service(statsOf(mesh.metrics, 'web'), 'voting')
    Object.assign(proved, { secured: true, identity: VOTING })
    const secured = service(statsOf(mesh.metrics, 'web'), 'voting')
    plain.secured = false
    off.secured = false
    const after = service(statsOf(mesh.metrics, 'web'), 'voting')

    assert.deepEqual([before.secured, before.identities], [null, [VOTING, OLD_VOTING]])
    assert.deepEqual([secured.secured, secured.identities], [true, [VOTING]])
    assert.deepEqual([after.secured, after.identities], [false, [VOTING]])
    assert.deepEqual(
      after.endpoints.list.map((e) => [e.secured, e.identity]),
      [
        [true, VOTING],
        [null, VOTING],
        [false, null],
        [false, null],
      ],
    )
  })

  test('tell who this process has proved to be', () => {
    const { metrics } = new SmallMesh()
    const before = statsOf(metrics, 'web').identity
    metrics.tls.identityChanged({ id: WEB, certificates: '', key: '', trust: {}, notBefore: 0, notAfter: 1 })

    assert.deepEqual([before, statsOf(metrics, 'web').identity], [null, WEB])
  })

  test('count hedges, also those of routes that have expired', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    const call = aCall(route)
    mesh.metrics.callStarted(call, route)
    const first = mesh.start(route, call)
    const second = route.service.hedge(call, route, 2, [first.endpoint])
    assert.ok(second)
    mesh.finish(second)
    mesh.finish(first, { verdict: CANCELLED })
    mesh.metrics.callEnded(call, route, OK, 1, 2, 200)

    const before = statsOf(mesh.metrics, 'web')
    mesh.clock.advance(2 * EXPIRE_AFTER_MS)
    statsOf(mesh.metrics, 'web')
    const after = statsOf(mesh.metrics, 'web')

    assert.deepEqual([service(before, 'voting').hedges, service(after, 'voting').hedges], [1, 1])
    assert.deepEqual(service(after, 'voting').routes, [])
    assert.equal(service(mergeStats([before, after]), 'voting').hedges, 2)
  })

  test('never go backwards when a series expires', () => {
    const mesh = new SmallMesh()
    const voting = mesh.service('voting', ['10.0.0.1'])
    mesh.run(mesh.route(voting), [{ headMs: 10 }])
    statsOf(mesh.metrics, '')

    mesh.clock.advance(2 * EXPIRE_AFTER_MS)
    statsOf(mesh.metrics, '')
    const { calls, attempts, routes } = service(statsOf(mesh.metrics, ''), 'voting')

    assert.deepEqual([calls.total, attempts.total, routes.length], [1, 1, 0])
    near(calls.p50Ms, 10)
  })

  test('count hosts outside the mesh, the most called first', () => {
    const { metrics } = new SmallMesh()
    metrics.egress('a.example')
    metrics.egress('b.example')
    metrics.egress('b.example')

    assert.deepEqual(statsOf(metrics, '').egress, [
      { host: 'b.example', calls: 2 },
      { host: 'a.example', calls: 1 },
    ])
  })

  test('survive JSON', () => {
    const mesh = new SmallMesh()
    mesh.run(mesh.route(mesh.service('voting')), [{ headMs: 10 }])
    const stats = statsOf(mesh.metrics, 'web')

    assert.deepEqual(JSON.parse(JSON.stringify(stats)), stats)
  })
})

describe('merged stats', () => {
  test('are what one process would have seen that made all of the calls', () => {
    const plan = fc.array(fc.record({ who: fc.nat(2), ms: fc.integer({ min: 1, max: 300 }), fails: fc.boolean() }), {
      minLength: 1,
      maxLength: 40,
    })
    fc.assert(
      fc.property(plan, (list) => {
        const one = new SmallMesh()
        const many = [new SmallMesh(), new SmallMesh(), new SmallMesh()]
        const routes = new Map([one, ...many].map((mesh) => [mesh, mesh.route(mesh.service('voting'))]))
        for (const { who, ms, fails } of list) {
          const steps = fails ? [{ verdict: UNAVAILABLE, headMs: ms }, { headMs: 1 }] : [{ headMs: ms }]
          for (const mesh of [one, many[who] as SmallMesh]) mesh.run(routes.get(mesh) as never, steps)
        }

        const merged = service(mergeStats(many.map((mesh) => overTheWire(statsOf(mesh.metrics, 'web')))), 'voting')
        const expected = service(statsOf(one.metrics, 'web'), 'voting')

        for (const kind of ['calls', 'attempts'] as const) {
          const { periodMs: _, rps: __, recent: ___, ...whole } = merged[kind]
          const { periodMs: _1, rps: _2, recent: _3, ...truth } = expected[kind]
          assert.deepEqual(whole, truth)
        }
      }),
      { numRuns: 30 },
    )
  })

  test('add up rates, and keep the sender when there is but one', () => {
    const [a, b] = [new SmallMesh(), new SmallMesh()]
    for (const mesh of [a, b]) mesh.run(mesh.route(mesh.service('voting')), [{ headMs: 500 }])
    const list = [statsOf(a.metrics, 'web'), statsOf(b.metrics, 'web')]

    const merged = mergeStats(list)

    assert.equal(merged.from, 'web')
    assert.equal(service(merged, 'voting').calls.rps, 4)
    assert.equal(service(merged, 'voting').calls.recent.rps, 4)
    assert.equal(mergeStats([...list, statsOf(new SmallMesh().metrics, 'vote-bot')]).from, '')
  })

  test('show an endpoint as the worst off that any process sees it', () => {
    const well = new SmallMesh()
    well.service('voting')
    const sick = new SmallMesh()
    const voting = sick.service('voting')
    sick.shut(voting, sick.gates.slice(0, 1))

    const { endpoints } = service(mergeStats([statsOf(well.metrics, 'x'), statsOf(sick.metrics, 'y')]), 'voting')

    assert.deepEqual(
      endpoints.list.map((e) => e.state),
      ['ejected', 'ready'],
    )
    assert.equal(endpoints.total, 2)
  })

  test('are secured where nobody calls in plaintext, and have an identity where all have the same', () => {
    const seen = (secured: boolean | undefined, id?: string) => {
      const mesh = new SmallMesh()
      const voting = mesh.service('voting', [{ ...address('10.0.0.1'), identity: VOTING }])
      ;(voting.endpoints[0] as Endpoint).secured = secured
      if (id !== undefined)
        mesh.metrics.tls.identityChanged({ id, certificates: '', key: '', trust: {}, notBefore: 0, notAfter: 1 })
      return overTheWire(statsOf(mesh.metrics, 'web'))
    }
    const merged = (...list: MeshStats[]) => {
      const stats = mergeStats(list)
      const { secured, identities, endpoints } = service(stats, 'voting')
      return [stats.identity, secured, identities.length, endpoints.list[0]?.secured, endpoints.list[0]?.identity]
    }

    assert.deepEqual(merged(seen(undefined), seen(true, WEB)), [WEB, true, 1, true, VOTING])
    assert.deepEqual(merged(seen(undefined), seen(undefined)), [null, null, 1, null, VOTING])
    assert.deepEqual(merged(seen(false), seen(true, WEB), seen(true, OLD_VOTING)), [null, false, 1, false, VOTING])
  })

  test('of nothing are empty', () => {
    assert.deepEqual(mergeStats([]), { from: '', identity: null, uptimeMs: 0, services: [], egress: [], inbound: [] })
  })
})

const WEB = 'spiffe://inmesh.local/ns/default/sa/web'
const VOTING = 'spiffe://inmesh.local/ns/default/sa/voting'
const OLD_VOTING = 'spiffe://inmesh.local/ns/default/sa/voting-old'

function overTheWire(stats: MeshStats): MeshStats {
  return JSON.parse(JSON.stringify(stats))
}

function service(stats: MeshStats, name: string): ServiceStats {
  const found = stats.services.find((s) => s.name === name)
  assert.ok(found)
  return found
}

function pick({ total, success, failure, ignored, retries, successRate, rps }: ServiceStats['calls']) {
  return { total, success, failure, ignored, retries, successRate, rps }
}

function near(got: number | null, truth: number): void {
  assert.ok(got !== null && Math.abs(got - truth) <= 0.03 * truth, `${got} for ${truth}`)
}
