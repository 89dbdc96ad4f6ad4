import { families } from './families.ts'
import type { Attributes, Family, HistogramPoint } from './family.ts'
import type { GoldenMetrics } from './golden-metrics.ts'

/** The content type of `prometheusText`. */
export const PROMETHEUS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * The golden metrics in Prometheus' text format, version 0.0.4: the same numbers as `metricProducer` gives, under the names that
 * OpenTelemetry's rules make of them (`mesh.client.calls` is `mesh_client_calls_total`). Metrics without a series are left out.
 */
export function prometheusText(metrics: GoldenMetrics): string {
  return families(metrics).map(familyText).join('')
}

function familyText(family: Family): string {
  if (family.points.length === 0) return ''
  const name = nameOf(family)
  const head = `# HELP ${name} ${escapeHelp(family.help)}\n# TYPE ${name} ${TYPES[family.kind]}\n`
  if (family.kind === 'histogram') return head + family.points.map((point) => histogramText(name, family.bounds, point)).join('')
  return head + family.points.map(({ attributes, value }) => `${name}${braced(labels(attributes))} ${shown(value)}\n`).join('')
}

function histogramText(name: string, bounds: readonly number[], point: HistogramPoint): string {
  const own = labels(point.attributes)
  const bucketStart = `${name}_bucket{${own === '' ? '' : `${own},`}le="`
  let count = 0
  let text = ''
  point.buckets.forEach((bucket, i) => {
    count += bucket
    text += `${bucketStart}${bounds[i] ?? '+Inf'}"} ${count}\n`
  })
  return `${text}${name}_sum${braced(own)} ${shown(point.sum)}\n${name}_count${braced(own)} ${count}\n`
}

function braced(labels: string): string {
  return labels === '' ? '' : `{${labels}}`
}

function shown(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (Number.isFinite(value)) return String(value)
  return value > 0 ? '+Inf' : '-Inf'
}

function nameOf(family: Family): string {
  const name = underscored(family.name)
  if (family.kind === 'counter') return `${name}_total`
  return family.unit === 's' ? `${name}_seconds` : name
}

const TYPES: Readonly<Record<Family['kind'], string>> = {
  counter: 'counter',
  sum: 'gauge',
  gauge: 'gauge',
  histogram: 'histogram',
}

function labels(attributes: Attributes): string {
  return Object.entries(attributes)
    .map(([key, value]) => `${underscored(key)}="${escapeLabel(String(value))}"`)
    .join(',')
}

function underscored(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, '_')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function escapeLabel(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"')
}
