import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { families } from '../../src/telemetry/families.ts'
import type { Attributes, HistogramPoint, NumberPoint } from '../../src/telemetry/family.ts'
import { EXPIRE_AFTER_MS, type GoldenMetrics } from '../../src/telemetry/golden-metrics.ts'
import { GRPC_BOUNDS_S } from '../../src/telemetry/grpc-durations.ts'
import { BUCKET_BOUNDS_S } from '../../src/telemetry/histogram.ts'
import { MAX_CALLERS, MAX_PAIRS, MAX_ROUTES } from '../../src/telemetry/inbound-metrics.ts'
import { MAX_METHODS } from '../../src/telemetry/method-series.ts'
import { type Request, refusing, SmallServer } from './small-server.ts'

const VOTE = '/emojivoto.v1.VotingService/Vote'

describe('requests over HTTP', () => {
  test('are told apart by route, method, status and caller', () => {
    const server = new SmallServer()

    server.run({ caller: 'web', route: '/api/:id', ms: 20 })
    server.run({ caller: 'web', route: '/api/:id', ms: 40 })
    server.run({ caller: 'vote-bot', route: '/api/:id', method: 'POST', scheme: 'https', status: 404 })
    server.run({ status: 503, reason: 'error_status' })

    const points = pointsOf<HistogramPoint>(server.metrics, 'http.server.request.duration')
    assert.deepEqual(
      points.map(({ attributes }) => attributes),
      [
        {
          'http.request.method': 'GET',
          'url.scheme': 'http',
          'http.route': '/api/:id',
          'mesh.caller': 'web',
          'http.response.status_code': 200,
        },
        {
          'http.request.method': 'POST',
          'url.scheme': 'https',
          'http.route': '/api/:id',
          'mesh.caller': 'vote-bot',
          'http.response.status_code': 404,
        },
        { 'http.request.method': 'GET', 'url.scheme': 'http', 'http.response.status_code': 503, 'error.type': '503' },
      ],
    )
    assert.equal(points[0]?.sum, 0.06)
    assert.equal(points[0]?.buckets[BUCKET_BOUNDS_S.indexOf(0.025)], 1)
    assert.equal(points[0]?.buckets[BUCKET_BOUNDS_S.indexOf(0.05)], 1)
  })

  test('name the error where no whole answer went out, and then no status', () => {
    const server = new SmallServer()

    server.run({ reason: 'cancelled' })
    server.run({ reason: 'broken_off', status: 200 })
    server.run({ reason: 'cancelled', leftMs: 5, ms: 10 })

    const points = pointsOf(server.metrics, 'http.server.request.duration')
    assert.deepEqual(
      points.map((p) => [p.attributes['http.response.status_code'], p.attributes['error.type']]),
      [
        [undefined, 'cancelled'],
        [undefined, 'broken_off'],
        [undefined, 'timeout'],
      ],
    )
  })

  test('name the refusal as the error, unless its status is no error of the server', () => {
    const server = new SmallServer([refusing('web', 'overloaded', true), refusing('bot', 'rate_limited', true)])

    server.run({ caller: 'web', status: 503 })
    server.run({ caller: 'bot', status: 429 })

    const points = pointsOf(server.metrics, 'http.server.request.duration')
    assert.deepEqual(
      points.map((p) => [p.attributes['http.response.status_code'], p.attributes['error.type']]),
      [
        [503, 'overloaded'],
        [429, undefined],
      ],
    )
  })

  test('call a method that they do not know _OTHER', () => {
    const server = new SmallServer()

    server.run({ method: 'BREW' })

    const [point] = pointsOf(server.metrics, 'http.server.request.duration')
    assert.equal(point?.attributes['http.request.method'], '_OTHER')
  })

  test('are counted while they are under way', () => {
    const server = new SmallServer()
    const active = () =>
      pointsOf<NumberPoint>(server.metrics, 'http.server.active_requests').map((p) => [
        p.attributes['http.request.method'],
        p.attributes['url.scheme'],
        p.attributes['mesh.caller'],
        p.value,
      ])

    const first = server.begin({ caller: 'web' })
    const second = server.begin({ caller: 'web' })
    server.begin({ caller: 'web', method: 'POST', scheme: 'https' })
    assert.deepEqual(active(), [
      ['GET', 'http', 'web', 2],
      ['POST', 'https', 'web', 1],
    ])

    server.end(first)
    server.end(second)
    assert.deepEqual(active(), [['POST', 'https', 'web', 1]])
    assert.deepEqual(values(server.metrics, 'mesh.server.active_requests'), [1])
  })
})

describe('requests over gRPC', () => {
  test("are counted under gRPC's own names, without the caller", () => {
    const server = new SmallServer()

    server.run({ protocol: 'grpc', route: VOTE, caller: 'web', ms: 13 })
    server.run({ protocol: 'grpc', route: VOTE, caller: 'bot', ms: 14 })
    server.run({ protocol: 'grpc', route: VOTE, caller: 'bot', status: 14, reason: 'error_status' })
    server.begin({ protocol: 'grpc', route: VOTE })

    const method = VOTE.slice(1)
    const [started] = pointsOf<NumberPoint>(server.metrics, 'grpc.server.call.started')
    assert.deepEqual([started?.attributes, started?.value], [{ 'grpc.method': method }, 4])
    const [ok, unavailable] = pointsOf<HistogramPoint>(server.metrics, 'grpc.server.call.duration')
    assert.deepEqual(ok?.attributes, { 'grpc.method': method, 'grpc.status': 'OK' })
    assert.deepEqual(unavailable?.attributes, { 'grpc.method': method, 'grpc.status': 'UNAVAILABLE' })
    assert.equal(ok?.buckets.length, GRPC_BOUNDS_S.length + 1)
    assert.equal(ok?.buckets[GRPC_BOUNDS_S.indexOf(0.013)], 1)
    assert.equal(ok?.buckets[GRPC_BOUNDS_S.indexOf(0.016)], 1)
    assert.equal(ok?.sum, 0.027)
  })

  test("are counted under OpenTelemetry's name by caller, and their errors named", () => {
    const server = new SmallServer()

    server.run({ protocol: 'grpc', route: VOTE, caller: 'web', status: 5 })
    server.run({ protocol: 'grpc', route: VOTE, status: 13, reason: 'error_status' })

    const rpc = { 'rpc.system.name': 'grpc', 'rpc.method': VOTE.slice(1) }
    assert.deepEqual(
      pointsOf(server.metrics, 'rpc.server.call.duration').map((p) => p.attributes),
      [
        { ...rpc, 'rpc.response.status_code': 'NOT_FOUND', 'mesh.caller': 'web' },
        { ...rpc, 'rpc.response.status_code': 'INTERNAL', 'error.type': 'INTERNAL' },
      ],
    )
    assert.deepEqual(pointsOf(server.metrics, 'http.server.request.duration'), [])
    assert.deepEqual(pointsOf(server.metrics, 'http.server.active_requests'), [])
  })

  test('for methods that the server does not have are one, and so are codes that gRPC does not have', () => {
    const server = new SmallServer()

    for (let i = 0; i < 50; i++) server.run({ protocol: 'grpc', status: 12 })
    server.run({ protocol: 'grpc', route: VOTE, status: 99, reason: 'error_status' })
    server.run({ protocol: 'grpc', route: VOTE, status: 2, reason: 'error_status' })

    const points = pointsOf<HistogramPoint>(server.metrics, 'grpc.server.call.duration')
    assert.deepEqual(
      points.map((p) => [p.attributes['grpc.method'], p.attributes['grpc.status'], count(p)]),
      [
        [VOTE.slice(1), 'UNKNOWN', 2],
        ['other', 'UNIMPLEMENTED', 50],
      ],
    )
    assert.deepEqual(
      pointsOf(server.metrics, 'rpc.server.call.duration').map((p) => p.attributes['rpc.method']),
      [VOTE.slice(1), '_OTHER'],
    )
  })

  test('count none twice when the methods exceed a thousand', () => {
    const server = new SmallServer()

    for (let i = 0; i < MAX_METHODS + 5; i++) server.run({ protocol: 'grpc', route: `/Service/M${i}` })

    const points = pointsOf<NumberPoint>(server.metrics, 'grpc.server.call.started')
    assert.equal(points.length, MAX_METHODS + 1)
    assert.deepEqual([points.at(-1)?.attributes['grpc.method'], points.at(-1)?.value], ['other', 5])
  })
})

describe('what is served', () => {
  test('is counted by caller, route and reason, with the resends apart', () => {
    const server = new SmallServer()

    server.run({ caller: 'web', route: '/list' })
    server.run({ caller: 'web', route: '/list', attempt: 2 })
    server.run({ caller: 'web', route: '/list', status: 500, reason: 'error_status' })
    server.run({ protocol: 'grpc', route: VOTE, caller: 'web' })

    const http = { 'mesh.caller': 'web', 'mesh.protocol': 'http', 'mesh.route': '/list' }
    const points = pointsOf<NumberPoint>(server.metrics, 'mesh.server.requests')
    assert.deepEqual(
      points.map(({ attributes, value }) => [attributes, value]),
      [
        [{ ...http, 'mesh.outcome': 'success', 'mesh.reason': 'ok' }, 2],
        [{ ...http, 'mesh.outcome': 'failure', 'mesh.reason': 'error_status' }, 1],
        [
          {
            'mesh.caller': 'web',
            'mesh.protocol': 'grpc',
            'mesh.route': VOTE.slice(1),
            'mesh.outcome': 'success',
            'mesh.reason': 'ok',
          },
          1,
        ],
      ],
    )
    const resent = pointsOf<NumberPoint>(server.metrics, 'mesh.server.resent_requests')
    assert.deepEqual(
      resent.map(({ attributes, value }) => [attributes, value]),
      [[http, 1]],
    )
  })

  test('keeps what a policy refused apart from what it would have', () => {
    const server = new SmallServer([refusing('web', 'overloaded', true), refusing('bot', 'rate_limited', false)])

    server.run({ caller: 'web', status: 503 })
    server.run({ caller: 'bot' })
    server.run({ caller: 'bot', protocol: 'grpc', route: VOTE, leftMs: 0 })

    const shown = (name: string) =>
      pointsOf<NumberPoint>(server.metrics, name).map(({ attributes: a, value }) => [
        a['mesh.caller'],
        a['mesh.protocol'],
        a['mesh.reason'],
        value,
      ])
    assert.deepEqual(shown('mesh.server.refused'), [['web', 'http', 'overloaded', 1]])
    assert.deepEqual(shown('mesh.server.would_have_refused'), [
      ['bot', 'http', 'rate_limited', 1],
      ['bot', 'grpc', 'deadline_passed', 1],
      ['bot', 'grpc', 'rate_limited', 1],
    ])
  })

  test('tells a hundred callers apart, and counts the rest, and one who calls itself so, as other', () => {
    const server = new SmallServer()

    server.run({ caller: 'other' })
    for (let i = 0; i < MAX_CALLERS + 5; i++) server.run({ caller: `caller-${i}` })

    const points = pointsOf<NumberPoint>(server.metrics, 'mesh.server.requests')
    assert.equal(points.length, MAX_CALLERS + 1)
    assert.equal(points.find((p) => p.attributes['mesh.caller'] === 'other')?.value, 6)
  })

  test('tells a thousand routes apart', () => {
    const server = new SmallServer()

    for (let i = 0; i < MAX_ROUTES + 5; i++) server.run({ route: `/route/${i}` })

    const points = pointsOf<NumberPoint>(server.metrics, 'mesh.server.requests')
    assert.equal(points.length, MAX_ROUTES + 1)
    const rest = points.find((p) => p.attributes['otel.metric.overflow'] === true)
    assert.deepEqual([rest?.value, rest?.attributes['mesh.route']], [5, undefined])
  })

  test('bounds pairs of caller and route, and still knows the route', () => {
    const server = new SmallServer()
    const callers = 50
    const routes = MAX_PAIRS / callers + 2

    for (let r = 0; r < routes; r++) for (let c = 0; c < callers; c++) server.run({ caller: `caller-${c}`, route: `/route/${r}` })

    const points = pointsOf<NumberPoint>(server.metrics, 'mesh.server.requests')
    assert.equal(total(points), callers * routes)
    assert.ok(points.length <= MAX_PAIRS + routes)
    assert.deepEqual(
      points.filter((p) => p.attributes['mesh.caller'] === 'other').map((p) => [p.attributes['mesh.route'], p.value]),
      [
        [`/route/${routes - 2}`, callers],
        [`/route/${routes - 1}`, callers],
      ],
    )
  })

  test('bounds the combinations of method and status', () => {
    const server = new SmallServer()

    for (let status = 200; status < 300; status++) server.run({ status })

    const points = pointsOf<HistogramPoint>(server.metrics, 'http.server.request.duration')
    assert.equal(points.length, 21)
    assert.equal(count(points.at(-1)), 80)
  })

  test('is given up after ten idle minutes, and room is made for other callers', () => {
    const server = new SmallServer()
    for (let i = 0; i < MAX_CALLERS + 1; i++) server.run({ caller: `early-${i}`, route: '/list' })
    server.run({ caller: 'early-0', protocol: 'grpc', route: VOTE })

    server.clock.advance(EXPIRE_AFTER_MS + 10_000)
    server.metrics.read()
    assert.equal(pointsOf(server.metrics, 'mesh.server.requests').length, 0)
    assert.deepEqual(server.metrics.inbound.read().grpc, [])

    server.run({ caller: 'late', route: '/list' })
    const points = pointsOf(server.metrics, 'mesh.server.requests')
    assert.deepEqual(
      points.map((p) => p.attributes['mesh.caller']),
      ['late'],
    )
  })

  test('is not given up while something is under way', () => {
    const server = new SmallServer()
    const http = server.begin({ caller: 'web' })
    const grpc = server.begin({ caller: 'web', protocol: 'grpc', route: VOTE })

    server.clock.advance(2 * EXPIRE_AFTER_MS)
    server.metrics.read()
    server.end(http)
    server.end(grpc, { protocol: 'grpc', route: VOTE })

    assert.deepEqual(values(server.metrics, 'mesh.server.active_requests'), [])
    assert.deepEqual(values(server.metrics, 'grpc.server.call.started'), [1])
  })

  test('comes to nothing under way, whoever calls and whatever is given up meanwhile', () => {
    const caller = fc.integer({ min: 0, max: MAX_CALLERS + 20 }).map((i) => `caller-${i}`)
    const request = fc.record({
      protocol: fc.constantFrom('http' as const, 'grpc' as const),
      caller,
      route: fc.constantFrom('', '/a', '/b'),
      waits: fc.boolean(),
      idleMs: fc.constantFrom(0, 0, 0, 0, 0, 0, EXPIRE_AFTER_MS + 10_000),
    })
    fc.assert(
      fc.property(fc.array(request, { minLength: 100, maxLength: 300 }), (list) => {
        const server = new SmallServer()
        const open: (() => void)[] = []
        for (const { waits, idleMs, ...one } of list) {
          const inbound = server.begin(one)
          const end = () => server.end(inbound, one as Request)
          if (waits) open.push(end)
          else end()
          server.clock.advance(idleMs)
          server.metrics.read()
        }
        assert.equal(total(pointsOf<NumberPoint>(server.metrics, 'mesh.server.active_requests')), open.length)

        for (const end of open) end()
        assert.deepEqual(values(server.metrics, 'mesh.server.active_requests'), [])
        for (const c of server.metrics.inbound.read().callers) assert.ok([...c.active, ...c.inFlight].every((n) => n === 0))
        for (const m of server.metrics.inbound.read().grpc) assert.equal(m.inFlight, 0)
      }),
      { numRuns: 20 },
    )
  })
})

function pointsOf<P extends { attributes: Attributes } = { attributes: Attributes; value: number }>(
  metrics: GoldenMetrics,
  name: string,
): readonly P[] {
  const family = families(metrics).find((f) => f.name === name)
  assert.ok(family, name)
  return family.points as never
}

function values(metrics: GoldenMetrics, name: string): number[] {
  return pointsOf<NumberPoint>(metrics, name).map((p) => p.value)
}

function total(points: readonly { value: number }[]): number {
  return points.reduce((sum, p) => sum + p.value, 0)
}

function count(point: HistogramPoint | undefined): number {
  return point?.buckets.reduce((sum, n) => sum + n, 0) ?? 0
}
