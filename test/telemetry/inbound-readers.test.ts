import assert from 'node:assert/strict'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus'
import {
  AggregationTemporality,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { systemClock, systemRandom } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { Reception } from '../../src/server/reception.ts'
import { GoldenMetrics } from '../../src/telemetry/golden-metrics.ts'
import { GRPC_BOUNDS_S } from '../../src/telemetry/grpc-durations.ts'
import { BUCKET_BOUNDS_S } from '../../src/telemetry/histogram.ts'
import { metricProducer } from '../../src/telemetry/metric-producer.ts'
import { prometheusText } from '../../src/telemetry/prometheus.ts'
import { SmallServer } from './small-server.ts'

const VOTE = '/emojivoto.v1.VotingService/Vote'

describe("OpenTelemetry's readers", () => {
  test('export what a server of node:http has served', async (t) => {
    const { metrics, get } = await serve(t)
    await get('/api/7', 'web')
    await get('/api/8', 'web')

    const exported = await exportedBy(AggregationTemporality.CUMULATIVE, metrics)

    const metric = exported.find((m) => m.descriptor.name === 'http.server.request.duration')
    assert.deepEqual([metric?.descriptor.unit, metric?.dataPoints.length], ['s', 1])
    assert.deepEqual(metric?.dataPoints[0]?.attributes, {
      'http.request.method': 'GET',
      'url.scheme': 'http',
      'http.route': '/api/:id',
      'mesh.caller': 'web',
      'http.response.status_code': 200,
    })
    const value = metric?.dataPoints[0]?.value as Histogram
    assert.deepEqual([value.count, value.buckets.boundaries], [2, BUCKET_BOUNDS_S])
  })

  test("export gRPC's own latencies in gRPC's own buckets, in both temporalities", async () => {
    const server = new SmallServer()
    const producer = metricProducer(server.metrics, { temporality: 'delta' })

    server.run({ protocol: 'grpc', route: VOTE, ms: 5 })
    await producer.collect()
    server.run({ protocol: 'grpc', route: VOTE, ms: 13 })
    const { resourceMetrics } = await producer.collect()
    const cumulative = await exportedBy(AggregationTemporality.CUMULATIVE, server.metrics)

    const name = 'grpc.server.call.duration'
    const delta = resourceMetrics.scopeMetrics[0]?.metrics.find((m) => m.descriptor.name === name)
    const fresh = delta?.dataPoints[0]?.value as Histogram
    assert.deepEqual([fresh.count, fresh.buckets.boundaries], [1, GRPC_BOUNDS_S])
    assert.equal(fresh.buckets.counts[GRPC_BOUNDS_S.indexOf(0.013)], 1)
    const whole = cumulative.find((m) => m.descriptor.name === name)?.dataPoints[0]?.value as Histogram
    assert.equal(whole.count, 2)
  })

  test('serve them to Prometheus, as the mesh itself does', async (t) => {
    const { metrics, get } = await serve(t)
    await get('/api/7', 'web')
    const exporter = new PrometheusExporter({ preventServerStart: true, metricProducers: [metricProducer(metrics)] })
    const provider = new MeterProvider({ readers: [exporter] })
    const server = http.createServer((request, response) => exporter.getMetricsRequestHandler(request, response))

    const { text } = await answerOf(t, server, '/metrics')
    await provider.shutdown()

    const requests = /^mesh_server_requests_total\{mesh_caller="web",mesh_protocol="http",mesh_route="\/api\/:id".*\} 1$/m
    assert.match(text, requests)
    assert.match(prometheusText(metrics), requests)
    assert.match(prometheusText(metrics), /^http_server_request_duration_seconds_count\{.*http_route="\/api\/:id".*\} 1$/m)
  })
})

describe('every format', () => {
  test('gives no two points of what was served the same attributes', async () => {
    const server = new SmallServer()
    for (const caller of ['', 'web', 'other'])
      for (const route of ['', '/list', 'other']) {
        server.run({ caller, route })
        server.run({ caller, route, reason: 'cancelled' })
        server.run({ caller, route, protocol: 'grpc', status: 12 })
        for (let status = 200; status < 230; status++) server.run({ caller, route, status })
      }

    const { resourceMetrics } = await metricProducer(server.metrics).collect()
    for (const metric of resourceMetrics.scopeMetrics.flatMap((s) => s.metrics)) {
      const keys = metric.dataPoints.map((p) => JSON.stringify(p.attributes))
      assert.equal(new Set(keys).size, keys.length, metric.descriptor.name)
    }
  })
})

/** A real server that knows one route. */
async function serve(t: TestContext) {
  const metrics = new GoldenMetrics(systemClock)
  const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const reception = new Reception({ name: 'voting', runtime, observer: metrics.inbound }, { loadReports: false })
  const server = http.createServer(
    inmeshHttp({ mesh: { inbound: reception } }, (request, response) => {
      request.mesh.route = '/api/:id'
      response.end('ok')
    }),
  )
  const get = async (path: string, caller: string) => {
    const answer = await answerOf(t, server, path, { 'x-envoy-downstream-service-cluster': caller })
    await new Promise<void>((resolve) => reception.whenIdle(resolve))
    return answer
  }
  return { metrics, get }
}

async function answerOf(t: TestContext, server: http.Server, path: string, headers: Record<string, string> = {}) {
  if (!server.listening) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => new Promise((resolve) => server.close(resolve)))
  }
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close', ...headers } })
  return { status: response.status, text: await response.text() }
}

/** What a periodic reader exports. */
async function exportedBy(temporality: AggregationTemporality, metrics: GoldenMetrics): Promise<readonly MetricData[]> {
  const exporter = new InMemoryMetricExporter(temporality)
  const reader = new PeriodicExportingMetricReader({ exporter, metricProducers: [metricProducer(metrics)] })
  const provider = new MeterProvider({ readers: [reader] })
  await provider.forceFlush()
  const [exported] = exporter.getMetrics()
  await provider.shutdown()
  return exported?.scopeMetrics.find((s) => s.scope.name === 'inmesh')?.metrics ?? []
}
