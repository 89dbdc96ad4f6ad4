import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { UNAVAILABLE } from '../../src/core/verdict.ts'
import { families } from '../../src/telemetry/families.ts'
import { BUCKET_BOUNDS_S } from '../../src/telemetry/histogram.ts'
import { prometheusText } from '../../src/telemetry/prometheus.ts'
import { SmallMesh } from './small-mesh.ts'

describe('the Prometheus text', () => {
  test('says what each metric is, once, before its samples', () => {
    const text = prometheusText(busyMesh().metrics)

    assert.match(
      text,
      /^# HELP mesh_client_calls_total Calls that ended, .*\n# TYPE mesh_client_calls_total counter\nmesh_client_calls_total\{/m,
    )
    assert.match(text, /^# TYPE http_client_request_duration_seconds histogram$/m)
    assert.match(text, /^# TYPE mesh_client_active_calls gauge$/m)
    assert.match(text, /^# TYPE mesh_client_retry_budget gauge$/m)
    const types = [...text.matchAll(/^# TYPE (\S+)/gm)].map((m) => m[1])
    assert.equal(new Set(types).size, types.length)
    assert.ok(text.endsWith('\n'))
  })

  test('holds the same numbers as the metric producer', () => {
    const mesh = busyMesh()
    const samples = parse(prometheusText(mesh.metrics))
    let points = 0

    for (const family of families(mesh.metrics)) {
      const base = family.name.replaceAll('.', '_')
      for (const point of family.points) {
        const own = Object.entries(point.attributes).map(([k, v]) => [k.replaceAll('.', '_'), String(v)] as const)
        points++
        if (!('buckets' in point)) {
          assert.equal(samples.get(key(family.kind === 'counter' ? `${base}_total` : base, own)), point.value)
          continue
        }
        let count = 0
        point.buckets.forEach((bucket, i) => {
          count += bucket
          const le = String(BUCKET_BOUNDS_S[i] ?? '+Inf')
          assert.equal(samples.get(key(`${base}_seconds_bucket`, [...own, ['le', le]])), count)
        })
        assert.equal(samples.get(key(`${base}_seconds_count`, own)), count)
        assert.equal(samples.get(key(`${base}_seconds_sum`, own)), point.sum)
      }
    }
    assert.ok(points > 20)
  })

  test('can be read back whatever a service is called', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('\\', '"', '\n', 'n', 'a', '{', '}', ',', '=', 'é'), minLength: 1 }),
        (name) => {
          const mesh = new SmallMesh()
          mesh.metrics.egress(name)

          assert.equal(
            parse(prometheusText(mesh.metrics)).get(key('mesh_client_egress_calls_total', [['mesh_destination', name]])),
            1,
          )
        },
      ),
    )
  })

  test('is empty when nothing was counted', () => {
    assert.equal(prometheusText(new SmallMesh().metrics), '')
  })
})

function busyMesh(): SmallMesh {
  const mesh = new SmallMesh()
  const route = mesh.route(mesh.service('voting', [{ host: '::1', port: 80, zone: 'a' }, '10.0.0.2']))
  mesh.run(route, [
    { verdict: UNAVAILABLE, status: 503, headMs: 20 },
    { status: 200, headMs: 30, bodyMs: 11_000 },
  ])
  mesh.run(mesh.route(route.service, 'vote'), [{ status: 404, headMs: 3 }])
  mesh.metrics.egress('example.org')
  return mesh
}

/** Samples by name and sorted labels. */
function parse(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
    assert.ok(match, `not a sample: ${line}`)
    const [, name = '', labels = '', value = ''] = match
    const id = key(name, parseLabels(labels))
    assert.ok(!samples.has(id), `twice: ${line}`)
    samples.set(id, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
  }
  return samples
}

function parseLabels(text: string): [string, string][] {
  const label = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy
  const labels = [...text.matchAll(label)].map((m): [string, string] => [
    m[1] as string,
    (m[2] as string).replaceAll(/\\(.)/g, (_, c) => (c === 'n' ? '\n' : c)),
  ])
  const read = [...text.matchAll(label)].reduce((length, m) => length + m[0].length, 0)
  assert.equal(read, text.length, `not labels: ${text}`)
  return labels
}

function key(name: string, labels: readonly (readonly [string, string])[]): string {
  return JSON.stringify([name, ...[...labels].sort(([a], [b]) => (a < b ? -1 : 1))])
}
