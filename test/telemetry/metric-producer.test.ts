import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import { ValueType } from '@opentelemetry/api'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import {
  AggregationTemporality,
  DataPointType,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  type MetricProducer,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { CONNECT_FAILED, ERROR_STATUS, UNAVAILABLE } from '../../src/core/verdict.ts'
import { EXPIRE_AFTER_MS } from '../../src/telemetry/golden-metrics.ts'
import { BUCKET_BOUNDS_S } from '../../src/telemetry/histogram.ts'
import { metricProducer } from '../../src/telemetry/metric-producer.ts'
import { aCall, SmallMesh } from './small-mesh.ts'

describe('the metric producer', () => {
  test('gives each attempt as one HTTP client request', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    mesh.run(route, [
      { verdict: UNAVAILABLE, status: 503, headMs: 20 },
      { status: 200, headMs: 30 },
    ])

    const metric = await metricOf(metricProducer(mesh.metrics), 'http.client.request.duration')
    assert.deepEqual(
      { unit: metric?.descriptor.unit, type: metric?.dataPointType, temporality: metric?.aggregationTemporality },
      { unit: 's', type: DataPointType.HISTOGRAM, temporality: AggregationTemporality.CUMULATIVE },
    )
    const origin = { 'server.address': 'voting', 'server.port': 80, 'mesh.service': 'voting', 'http.request.method': 'GET' }
    assert.deepEqual(
      metric?.dataPoints.map((p) => p.attributes),
      [
        { ...origin, 'http.response.status_code': 503, 'error.type': '503' },
        { ...origin, 'http.response.status_code': 200 },
      ],
    )
    const second = metric?.dataPoints[1]?.value as Histogram
    assert.equal(second.count, 1)
    assert.equal(second.sum, 0.03)
    assert.deepEqual(second.buckets.boundaries, BUCKET_BOUNDS_S)
    assert.equal(second.buckets.counts[BUCKET_BOUNDS_S.indexOf(0.05)], 1)
  })

  test('names the error when there is no status, and when the status is one', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))

    mesh.run(route, [{ verdict: CONNECT_FAILED }])
    mesh.run(route, [{ verdict: ERROR_STATUS, status: 500 }])
    mesh.run(route, [{ status: 404 }])

    const metric = await metricOf(metricProducer(mesh.metrics), 'http.client.request.duration')
    assert.deepEqual(
      metric?.dataPoints.map((p) => [p.attributes['http.response.status_code'], p.attributes['error.type']]),
      [
        [undefined, 'connect_failed'],
        [500, '500'],
        [404, '404'],
      ],
    )
  })

  test('calls a method that it does not know _OTHER, unless told otherwise', async () => {
    const methodsOf = async (mesh: SmallMesh) => {
      const route = mesh.route(mesh.service('voting'))
      mesh.run(route, [{}], aCall(route, 'QUERY'))
      const metric = await metricOf(metricProducer(mesh.metrics), 'http.client.request.duration')
      return metric?.dataPoints.map((p) => p.attributes['http.request.method'])
    }

    assert.deepEqual(await methodsOf(new SmallMesh()), ['_OTHER'])
    assert.deepEqual(await methodsOf(new SmallMesh({ knownMethods: ['GET', 'QUERY'] })), ['QUERY'])
  })

  test('takes address and port from what the application called', async () => {
    const mesh = new SmallMesh()
    mesh.run(mesh.route(mesh.service('emoji:9000')), [{}])
    mesh.run(mesh.route(mesh.service('[::1]:7000')), [{}])
    mesh.run(mesh.route(mesh.service('[::2]')), [{}])
    const named = mesh.route(mesh.service('voting'))
    mesh.run(named, [{}], aCall(named, 'GET', 'voting:8080'))
    mesh.run(named, [{}], aCall(named))
    mesh.run(named, [{}], { ...aCall(named), secure: true })
    for (let port = 1; port <= 20; port++) mesh.run(named, [{}], aCall(named, 'GET', `voting:${port}`))

    const metric = await metricOf(metricProducer(mesh.metrics), 'http.client.request.duration')

    const origins = metric?.dataPoints.map((p) => [p.attributes['server.address'], p.attributes['server.port']])
    assert.deepEqual(origins?.slice(0, 6), [
      ['emoji', 9000],
      ['::1', 7000],
      ['::2', 80],
      ['voting', 8080],
      ['voting', 80],
      ['voting', 443],
    ])
    assert.equal(origins?.length, 14, 'ten of a service are told apart')
    const rest = metric?.dataPoints.at(-1)
    assert.deepEqual([rest?.attributes['otel.metric.overflow'], (rest?.value as Histogram | undefined)?.count], [true, 13])
  })

  test('counts endpoints by state, so that the states add up', async () => {
    const mesh = new SmallMesh()
    const service = mesh.service('voting', ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'])
    mesh.shut(service, mesh.gates.slice(0, 3))

    const metric = await metricOf(metricProducer(mesh.metrics), 'mesh.client.endpoints')

    assert.deepEqual(
      metric?.dataPoints.map((p) => [p.attributes['mesh.endpoint.state'], p.value]),
      [
        ['ready', 2],
        ['forced', 1],
        ['ejected', 2],
      ],
    )
  })

  test('cumulative: reports everything again, from the same start', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    const producer = metricProducer(mesh.metrics)

    mesh.run(route, [{}])
    const first = await metricOf(producer, 'mesh.client.calls')
    mesh.clock.advance(1_000)
    mesh.run(route, [{}])
    const second = await metricOf(producer, 'mesh.client.calls')

    assert.deepEqual([first?.dataPoints[0]?.value, second?.dataPoints[0]?.value], [1, 2])
    assert.deepEqual(first?.dataPoints[0]?.startTime, second?.dataPoints[0]?.startTime)
    assert.ok(Number(second?.dataPoints[0]?.endTime[0]) >= Number(first?.dataPoints[0]?.endTime[0]) + 1)
  })

  test('delta: reports what is new, from where it stopped, each producer for itself', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    const one = metricProducer(mesh.metrics, { temporality: 'delta' })
    const other = metricProducer(mesh.metrics, { temporality: 'delta' })

    mesh.run(route, [{ headMs: 20 }])
    const first = await metricOf(one, 'mesh.client.call.duration')
    mesh.run(route, [{ headMs: 40 }])
    const second = await metricOf(one, 'mesh.client.call.duration')
    const third = await metricOf(one, 'mesh.client.call.duration')
    const others = await metricOf(other, 'mesh.client.call.duration')

    assert.equal(first?.aggregationTemporality, AggregationTemporality.DELTA)
    const value = second?.dataPoints[0]?.value as Histogram
    assert.deepEqual([value.count, value.sum?.toFixed(6)], [1, '0.040000'])
    assert.deepEqual(second?.dataPoints[0]?.startTime, first?.dataPoints[0]?.endTime)
    assert.equal(third, undefined)
    assert.equal((others?.dataPoints[0]?.value as Histogram | undefined)?.count, 2)
  })

  test('delta: leaves what rises and falls cumulative', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    const producer = metricProducer(mesh.metrics, { temporality: 'delta' })
    mesh.metrics.callStarted(aCall(route), route)

    await metricOf(producer, 'mesh.client.active_calls')
    const active = await metricOf(producer, 'mesh.client.active_calls')
    const budget = await metricOf(producer, 'mesh.client.retry_budget')

    assert.deepEqual([active?.aggregationTemporality, active?.dataPoints[0]?.value], [AggregationTemporality.CUMULATIVE, 1])
    assert.equal(budget?.dataPoints[0]?.value, 42)
  })

  test('delta: begins at 0 with a series that expired and came back', async () => {
    const mesh = new SmallMesh()
    const route = mesh.route(mesh.service('voting'))
    const producer = metricProducer(mesh.metrics, { temporality: 'delta' })

    mesh.run(route, [{}])
    mesh.run(route, [{}])
    await producer.collect()
    mesh.clock.advance(EXPIRE_AFTER_MS + 10_000)
    await producer.collect()
    mesh.run(route, [{}])

    const metric = await metricOf(producer, 'mesh.client.calls')
    assert.equal(metric?.dataPoints[0]?.value, 1)
  })

  test('gives no two points the same attributes', async () => {
    const mesh = new SmallMesh()
    for (const name of ['voting', 'voting:80', 'emoji']) {
      for (const routeName of ['default', 'vote'])
        mesh.run(mesh.route(mesh.service(name), routeName), [{}, { verdict: UNAVAILABLE }])
    }

    for (const metric of await metricsOf(metricProducer(mesh.metrics))) {
      const keys = metric.dataPoints.map((p) => JSON.stringify(p.attributes))
      assert.equal(new Set(keys).size, keys.length, metric.descriptor.name)
    }
  })

  test('refuses a temporality that it does not know', () => {
    const { metrics } = new SmallMesh()

    assert.throws(() => metricProducer(metrics, { temporality: 'both' as never }), {
      code: 'INMESH_CONFIG',
      message: `metricProducer.temporality: expected 'cumulative' or 'delta', got "both"`,
    })
  })

  test("uses the numbers of OpenTelemetry's enums without loading its SDK", () => {
    assert.deepEqual([AggregationTemporality.DELTA, AggregationTemporality.CUMULATIVE], [0, 1])
    assert.deepEqual([DataPointType.HISTOGRAM, DataPointType.GAUGE, DataPointType.SUM], [0, 2, 3])
    assert.deepEqual([ValueType.INT, ValueType.DOUBLE], [0, 1])

    const file = new URL('../../src/telemetry/metric-producer.ts', import.meta.url).href
    const script = `import { registerHooks } from 'node:module'
      registerHooks({ resolve(name, context, next) { if (!name.startsWith('.') && !name.startsWith('file:')) console.log(name); return next(name, context) } })
      await import(${JSON.stringify(file)})`
    const loaded = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.deepEqual(
      loaded.split('\n').filter((name) => name !== '' && name !== 'node:module'),
      [],
    )
  })
})

describe("OpenTelemetry's readers", () => {
  test('export the metrics periodically, with their own resource', async () => {
    const mesh = new SmallMesh()
    mesh.run(mesh.route(mesh.service('voting')), [{ status: 200, headMs: 20 }])
    const exporter = new InMemoryMetricExporter(AggregationTemporality.DELTA)
    const reader = new PeriodicExportingMetricReader({
      exporter,
      metricProducers: [metricProducer(mesh.metrics, { temporality: 'delta' })],
    })
    const provider = new MeterProvider({ readers: [reader] })

    await provider.forceFlush()
    const [exported] = exporter.getMetrics()
    await provider.shutdown()

    const scope = exported?.scopeMetrics.find((s) => s.scope.name === 'inmesh')
    assert.deepEqual(
      scope?.metrics.map((m) => m.descriptor.name),
      [
        'http.client.request.duration',
        'mesh.client.calls',
        'mesh.client.call.duration',
        'mesh.client.active_calls',
        'mesh.client.responses',
        'mesh.client.route.attempts',
        'mesh.client.attempts',
        'mesh.client.security.attempts',
        'mesh.client.attempt.duration',
        'mesh.client.attempt.time_to_head',
        'mesh.client.active_attempts',
        'mesh.client.retry_budget',
        'mesh.client.endpoints',
      ],
    )
    assert.ok(exported?.resource.attributes['telemetry.sdk.name'])
  })

  test('serve the metrics to Prometheus', async () => {
    const mesh = new SmallMesh()
    mesh.run(mesh.route(mesh.service('voting')), [{ status: 200, headMs: 20 }])
    const exporter = new PrometheusExporter({ preventServerStart: true, metricProducers: [metricProducer(mesh.metrics)] })
    const provider = new MeterProvider({ readers: [exporter] })
    const text = await served(exporter)
    await provider.shutdown()

    assert.match(text, /^mesh_client_calls_total\{mesh_service="voting",mesh_route="default",.*mesh_reason="ok".*\} 1$/m)
    assert.match(text, /^http_client_request_duration_bucket\{.*server_address="voting".*le="0\.025"\} 1$/m)
  })
})

/** What the exporter answers, over a server of the test's own: the exporter can't be asked for port 0. */
async function served(exporter: PrometheusExporter): Promise<string> {
  const server = createServer((request, response) => exporter.getMetricsRequestHandler(request, response))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    return await (await fetch(`http://127.0.0.1:${port}/metrics`, { headers: { connection: 'close' } })).text()
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

async function metricsOf(producer: MetricProducer): Promise<MetricData[]> {
  const { resourceMetrics, errors } = await producer.collect()
  assert.deepEqual(errors, [])
  return resourceMetrics.scopeMetrics.flatMap((s) => s.metrics)
}

async function metricOf(producer: MetricProducer, name: string): Promise<MetricData | undefined> {
  return (await metricsOf(producer)).find((m) => m.descriptor.name === name)
}
