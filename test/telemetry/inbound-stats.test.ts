import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { EXPIRE_AFTER_MS } from '../../src/telemetry/golden-metrics.ts'
import type { InboundStats } from '../../src/telemetry/inbound-stats.ts'
import { mergeStats } from '../../src/telemetry/merge-stats.ts'
import { type MeshStats, statsOf } from '../../src/telemetry/stats.ts'
import { type Request, refusing, SmallServer } from './small-server.ts'

const VOTE = '/emojivoto.v1.VotingService/Vote'

describe('stats of who calls', () => {
  test('have a row for each caller and protocol, with its routes', () => {
    const server = new SmallServer()
    server.run({ protocol: 'grpc', route: VOTE, caller: 'web', ms: 30 })
    for (let i = 0; i < 3; i++) server.run({ caller: 'web', route: '/list', ms: 10 })
    server.run({ caller: 'web', route: '/api/:id', status: 500, reason: 'error_status', ms: 100 })
    server.run({ caller: 'web', route: '/list', reason: 'cancelled', attempt: 3, ms: 900 })
    server.begin()

    const [http, grpc, nobody] = statsOf(server.metrics, 'voting').inbound

    assert.deepEqual([http?.caller, http?.protocol], ['web', 'http'])
    const { total, success, failure, ignored, retries, successRate } = http?.requests ?? {}
    assert.deepEqual([total, success, failure, ignored, retries, successRate], [5, 3, 1, 1, 1, 3 / 4])
    assert.deepEqual(http?.requests.reasons, { ok: 3, error_status: 1, cancelled: 1 })
    near(http?.requests.p50Ms, 10)
    near(http?.requests.p99Ms, 100)
    assert.deepEqual(
      http?.routes.map((route) => [route.name, route.requests.total, route.requests.recent.total]),
      [
        ['/api/:id', 1, 1],
        ['/list', 4, 4],
      ],
    )
    assert.deepEqual(
      [grpc?.caller, grpc?.protocol, grpc?.requests.total, grpc?.routes[0]?.name],
      ['web', 'grpc', 1, VOTE.slice(1)],
    )
    assert.deepEqual([nobody?.caller, nobody?.requests.inFlight, nobody?.requests.total], ['', 1, 0])
  })

  test('take no latency from what was refused', () => {
    const server = new SmallServer([refusing('web', 'overloaded', true)])

    server.run({ caller: 'web', status: 503, ms: 1 })

    const [web] = statsOf(server.metrics, '').inbound
    assert.deepEqual([web?.requests.p50Ms, web?.requests.failure], [null, 1])
    assert.deepEqual([web?.refused, web?.wouldHaveRefused], [{ overloaded: 1 }, {}])
  })

  test('never go backwards while the caller calls', () => {
    const server = new SmallServer()
    server.run({ caller: 'web', route: '/early' })

    server.clock.advance(EXPIRE_AFTER_MS)
    server.run({ caller: 'web', route: '/late' })
    server.clock.advance(10_000)
    statsOf(server.metrics, '')
    const [web] = statsOf(server.metrics, '').inbound

    assert.equal(web?.requests.total, 2)
    assert.deepEqual(
      web.routes.map((route) => route.name),
      ['/late'],
    )
  })

  test('merge to what one process would have seen', () => {
    const request = fc.record({
      who: fc.nat(2),
      caller: fc.constantFrom('', 'web', 'bot'),
      protocol: fc.constantFrom('http' as const, 'grpc' as const),
      route: fc.constantFrom('/a/b', '/c/d'),
      reason: fc.constantFrom('ok' as const, 'cancelled' as const),
      ms: fc.integer({ min: 1, max: 300 }),
    })
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 40 }), (list) => {
        const admissions = [refusing('bot', 'overloaded', true), refusing('web', 'rate_limited', false)]
        const one = new SmallServer(admissions)
        const many = [new SmallServer(admissions), new SmallServer(admissions), new SmallServer(admissions)]
        for (const { who, ...rest } of list) for (const server of [one, many[who] as SmallServer]) server.run(rest as Request)

        const merged = mergeStats(many.map(({ metrics }) => overTheWire(statsOf(metrics, 'voting')))).inbound
        const truth = statsOf(one.metrics, 'voting').inbound

        assert.deepEqual(sorted(merged), sorted(truth))
      }),
      { numRuns: 30 },
    )
  })
})

/** Without what depends on how long each process ran. */
function sorted(list: readonly InboundStats[]): unknown[] {
  const timeless = ({ periodMs: _, rps: __, recent: ___, ...rest }: InboundStats['routes'][number]['requests']) => rest
  return list
    .map((row) => ({
      ...row,
      requests: timeless(row.requests),
      routes: row.routes
        .map((route) => ({ name: route.name, requests: timeless(route.requests) }))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
    }))
    .sort((a, b) => (`${a.protocol} ${a.caller}` < `${b.protocol} ${b.caller}` ? -1 : 1))
}

function overTheWire(stats: MeshStats): MeshStats {
  return JSON.parse(JSON.stringify(stats))
}

function near(got: number | null | undefined, truth: number): void {
  assert.ok(typeof got === 'number' && Math.abs(got - truth) <= 0.03 * truth, `${got} for ${truth}`)
}
