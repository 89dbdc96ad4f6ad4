import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Call } from '../../src/core/call.ts'
import type { Route } from '../../src/core/route.ts'
import { NOT_SENT, OK, REASONS, type Reason, UNAVAILABLE, type Verdict } from '../../src/core/verdict.ts'
import { families } from '../../src/telemetry/families.ts'
import type { Attributes, HistogramPoint, NumberPoint } from '../../src/telemetry/family.ts'
import { EXPIRE_AFTER_MS } from '../../src/telemetry/golden-metrics.ts'
import { GRPC_BOUNDS_S } from '../../src/telemetry/grpc-durations.ts'
import { codeOf } from '../../src/telemetry/grpc-status.ts'
import { MAX_METHODS } from '../../src/telemetry/method-series.ts'
import { StepHistogram } from '../../src/telemetry/step-histogram.ts'
import { aCall, SmallMesh, type Step } from './small-mesh.ts'

const METHOD = 'emojivoto.v1.VotingService/Vote'
const TARGET = { 'grpc.target': 'dns:voting:8080', 'mesh.service': 'voting' }

describe('gRPC calls', () => {
  test("are counted under gRPC's own names, attempts and calls apart", () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    call(mesh, route, [{ verdict: UNAVAILABLE, headMs: 13 }, { headMs: 20 }])

    const method = { 'grpc.method': METHOD, ...TARGET }
    assert.deepEqual(numbers(mesh, 'grpc.client.attempt.started'), [[method, 2]])
    assert.deepEqual(
      histograms(mesh, 'grpc.client.attempt.duration').map((p) => [p.attributes, p.sum]),
      [
        [{ ...method, 'grpc.status': 'OK' }, 0.02],
        [{ ...method, 'grpc.status': 'UNAVAILABLE' }, 0.013],
      ],
    )
    const [whole] = histograms(mesh, 'grpc.client.call.duration')
    assert.deepEqual([whole?.attributes, whole?.sum], [{ ...method, 'grpc.status': 'OK' }, 0.033])
    assert.equal(whole?.buckets[GRPC_BOUNDS_S.indexOf(0.04)], 1)
  })

  test("are counted under OpenTelemetry's name, and are no HTTP requests", () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    call(mesh, route, [{ headMs: 20 }])
    call(mesh, route, [{ headMs: 20 }], { statusCode: 5 })

    const rpc = { 'rpc.system.name': 'grpc', 'rpc.method': METHOD }
    const server = { 'server.address': 'voting', 'server.port': 8080, 'mesh.service': 'voting' }
    assert.deepEqual(
      histograms(mesh, 'rpc.client.call.duration').map((p) => p.attributes),
      [
        { ...rpc, 'rpc.response.status_code': 'OK', ...server },
        { ...rpc, 'rpc.response.status_code': 'NOT_FOUND', 'error.type': 'NOT_FOUND', ...server },
      ],
    )
    assert.deepEqual(histograms(mesh, 'http.client.request.duration'), [])
    assert.equal(numbers(mesh, 'mesh.client.calls')[0]?.[1], 2)
  })

  test('leave the port out when the application named none', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    call(mesh, route, [{}], { authority: 'voting' })

    const [point] = histograms(mesh, 'rpc.client.call.duration')
    assert.deepEqual([point?.attributes['server.address'], point?.attributes['server.port']], ['voting', undefined])
    assert.equal(numbers(mesh, 'grpc.client.attempt.started')[0]?.[0]['grpc.target'], 'dns:voting')
  })

  test('tell resends from those after an attempt that no server saw', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    call(mesh, route, [{}])
    call(mesh, route, [{ verdict: NOT_SENT }, { verdict: UNAVAILABLE }, { verdict: UNAVAILABLE }, {}])
    call(mesh, route, [{ verdict: NOT_SENT }, { verdict: NOT_SENT }])

    const [retries] = histograms(mesh, 'grpc.client.call.retries')
    assert.deepEqual([retries?.buckets, retries?.sum], [[0, 1, 0, 0, 0, 0], 2])
    const [transparent] = histograms(mesh, 'grpc.client.call.transparent_retries')
    assert.deepEqual([transparent?.buckets, transparent?.sum], [[2, 0, 0, 0, 0, 0, 0], 2])
  })

  test('tell hedges from resends', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting', ['10.0.0.1', '10.0.0.2', '10.0.0.3']))
    const asked = rpc(route)
    mesh.metrics.callStarted(asked, route)
    const first = mesh.start(route, asked)
    const second = route.service.hedge(asked, route, 2, [first.endpoint]) as Attempt
    mesh.finish(second, { verdict: NOT_SENT })
    const third = route.service.hedge(asked, route, 3, [first.endpoint, second.endpoint]) as Attempt
    mesh.finish(third, { verdict: UNAVAILABLE })
    mesh.finish(first, { verdict: UNAVAILABLE })
    mesh.finish(mesh.start(route, asked, 4))
    mesh.metrics.callEnded(asked, route, OK, 1, 4, 200)

    const [hedges] = histograms(mesh, 'grpc.client.call.hedges')
    assert.deepEqual([hedges?.buckets, hedges?.sum], [[0, 1, 0, 0, 0, 0], 2])
    const [retries] = histograms(mesh, 'grpc.client.call.retries')
    assert.deepEqual([retries?.buckets, retries?.sum], [[1, 0, 0, 0, 0, 0], 1])
    assert.deepEqual(histograms(mesh, 'grpc.client.call.transparent_retries'), [])
    assert.equal(numbers(mesh, 'mesh.client.hedges')[0]?.[1], 2)
    assert.equal(numbers(mesh, 'mesh.client.retries')[0]?.[1], 3)
  })

  test('report no resends where there were none', () => {
    const mesh = new SmallMesh()

    call(mesh, mesh.route(mesh.service('voting')), [{}])

    assert.deepEqual(histograms(mesh, 'grpc.client.call.retries'), [])
    assert.deepEqual(histograms(mesh, 'grpc.client.call.hedges'), [])
    assert.deepEqual(numbers(mesh, 'mesh.client.hedges'), [])
    assert.deepEqual(histograms(mesh, 'grpc.client.call.transparent_retries'), [])
  })

  test('of methods beyond a thousand count as other', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    call(mesh, route, [{}], { path: '/other' })
    for (let i = 0; i < MAX_METHODS + 5; i++) call(mesh, route, [{}], { path: `/Service/M${i}` })

    const started = numbers(mesh, 'grpc.client.attempt.started')
    assert.equal(started.length, MAX_METHODS + 1)
    assert.deepEqual([started.at(-1)?.[0]['grpc.method'], started.at(-1)?.[1]], ['other', 6])
    assert.equal(histograms(mesh, 'rpc.client.call.duration').at(-1)?.attributes['rpc.method'], '_OTHER')
  })

  test('are given up after ten idle minutes, but not under way', () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    call(mesh, route, [{}], { path: '/Service/Idle' })
    const attempt = mesh.start(route, rpc(route, { path: '/Service/Busy' }))

    mesh.clock.advance(EXPIRE_AFTER_MS + 10_000)
    mesh.metrics.read()

    assert.deepEqual(
      numbers(mesh, 'grpc.client.attempt.started').map(([a]) => a['grpc.method']),
      ['Service/Busy'],
    )
    mesh.finish(attempt)
  })
})

describe('the status code of a call', () => {
  test('is what its door says, and UNKNOWN when gRPC has no such code', () => {
    assert.deepEqual([codeOf(5, OK), codeOf(0, UNAVAILABLE), codeOf(99, OK)], [5, 0, 2])
  })

  test('is what its verdict comes closest to when the door says nothing', () => {
    const codes = (reasons: readonly Reason[]) => reasons.map((reason) => codeOf(-1, { ...OK, reason } as Verdict))

    assert.deepEqual(codes(['ok', 'cancelled', 'overloaded', 'unavailable', 'timeout']), [0, 1, 8, 14, 4])
    assert.ok(codes(REASONS).every((code) => code >= 0 && code <= 16))
  })
})

describe('ejections', () => {
  test('are counted once from the first refusal to the recovery, for services that are called by gRPC', () => {
    const mesh = new SmallMesh()
    const voting = mesh.service('voting', ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'])
    const web = mesh.service('web', ['10.0.0.1', '10.0.0.2'])
    call(mesh, mesh.route(voting), [{}])

    mesh.shut(voting, mesh.gates.slice(0, 1))
    mesh.shut(voting, mesh.gates.slice(0, 1))
    mesh.shut(web, mesh.gates.slice(4, 5))

    assert.deepEqual(numbers(mesh, 'grpc.lb.outlier_detection.ejections_enforced'), [[TARGET, 1]])
    assert.deepEqual(numbers(mesh, 'grpc.lb.outlier_detection.ejections_unenforced'), [])
  })

  test('are told apart when too many of the service are out already', () => {
    const mesh = new SmallMesh()
    const voting = mesh.service('voting', ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'])
    call(mesh, mesh.route(voting), [{}])

    mesh.shut(voting, mesh.gates.slice(0, 2))
    mesh.clock.advance(1)
    mesh.shut(voting, mesh.gates.slice(2, 3))

    const unenforced = { ...TARGET, 'grpc.lb.outlier_detection.unenforced_reason': 'max_ejection_overflow' }
    assert.deepEqual(numbers(mesh, 'grpc.lb.outlier_detection.ejections_enforced'), [[TARGET, 2]])
    assert.deepEqual(numbers(mesh, 'grpc.lb.outlier_detection.ejections_unenforced'), [[unenforced, 1]])
  })

  test('are none when an endpoint only says that it is about to go', () => {
    const mesh = new SmallMesh()
    const voting = mesh.service('voting')
    call(mesh, mesh.route(voting), [{}])

    voting.leaving(voting.endpoints[0] as never)

    assert.equal(voting.counts.shut, 1)
    assert.deepEqual(numbers(mesh, 'grpc.lb.outlier_detection.ejections_enforced'), [])
  })
})

describe('a histogram of steps', () => {
  test('counts a value that is a bound below it, and what is no number as 0', () => {
    const steps = new StepHistogram(Float64Array.of(0, 1, 2))

    for (const value of [0, 1, 1.5, 2, 7, -1, Number.NaN]) steps.record(value)

    assert.deepEqual([...steps.counts], [3, 1, 2, 1])
    assert.equal(steps.sum, 11.5)
  })
})

type Rpc = Partial<Pick<Call, 'path' | 'authority'>> & { statusCode?: number }

function rpc(route: Route, { path = `/${METHOD}`, authority = 'voting:8080', statusCode = -1 }: Rpc = {}): Call {
  return { ...aCall(route, 'POST', authority), path, protocol: 'grpc', statusCode } as Call
}

function call(mesh: SmallMesh, route: Route, steps: readonly Step[], options?: Rpc): void {
  mesh.run(route, steps, rpc(route, options))
}

function numbers(mesh: SmallMesh, name: string): [Attributes, number][] {
  return points<NumberPoint>(mesh, name).map((p) => [p.attributes, p.value])
}

function histograms(mesh: SmallMesh, name: string): readonly HistogramPoint[] {
  return points<HistogramPoint>(mesh, name)
}

function points<P>(mesh: SmallMesh, name: string): readonly P[] {
  const family = families(mesh.metrics).find((f) => f.name === name)
  assert.ok(family, name)
  return family.points as never
}
