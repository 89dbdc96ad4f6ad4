import type { HrTime, ValueType } from '@opentelemetry/api'
import type {
  AggregationTemporality,
  CollectionResult,
  DataPoint,
  DataPointType,
  Histogram,
  MetricData,
  MetricProducer,
  ResourceMetrics,
} from '@opentelemetry/sdk-metrics'
import type { Clock } from '../core/clock.ts'
import { type OptionCheck, readOptions } from '../core/options.ts'
import { families } from './families.ts'
import type { Family, HistogramFamily, NumberFamily, Point } from './family.ts'
import type { GoldenMetrics } from './golden-metrics.ts'

export interface MetricProducerOptions {
  /**
   * `cumulative` (default) reports everything since counting began; `delta` what is new since this producer was last
   * asked, for which each reader needs a producer of its own. Must be what the reader's exporter wants: readers convert nothing.
   */
  readonly temporality: 'cumulative' | 'delta'
}

/**
 * Hands the golden metrics to any OpenTelemetry metric reader: `new PeriodicExportingMetricReader({ exporter, metricProducers: [p] })`.
 * Names, units and attributes are in docs/metrics.md. Costs nothing until a reader asks.
 *
 * @throws MeshError INMESH_CONFIG for an unknown option or temporality
 */
export function metricProducer(metrics: GoldenMetrics, options?: Partial<MetricProducerOptions>): MetricProducer {
  const { temporality } = readOptions<MetricProducerOptions>(
    'metricProducer',
    options,
    { temporality: 'cumulative' },
    { temporality: oneOfTwo },
  )
  const points = temporality === 'delta' ? new Deltas() : new Cumulative()
  return {
    collect: async () => collectionOf(families(metrics), points, metrics.clock),
  }
}

function collectionOf(list: readonly Family[], points: Points, clock: Clock): CollectionResult {
  const now = clock.now()
  const taken = list.map((family) => metricOf(family, points, now))
  points.taken(now)
  return {
    resourceMetrics: { resource: NO_RESOURCE, scopeMetrics: [{ scope: { name: 'inmesh' }, metrics: taken.filter(hasPoints) }] },
    errors: [],
  }
}

function metricOf(family: Family, points: Points, now: number): MetricData {
  const descriptor = { name: family.name, description: family.help, unit: family.unit, valueType: valueTypeOf(family) }
  switch (family.kind) {
    case 'histogram': {
      const dataPoints = points.histograms(family, now)
      return { descriptor, dataPointType: HISTOGRAM, aggregationTemporality: points.temporality, dataPoints }
    }
    case 'counter': {
      const dataPoints = points.counters(family, now)
      return { descriptor, dataPointType: SUM, isMonotonic: true, aggregationTemporality: points.temporality, dataPoints }
    }
    case 'sum':
      // What rises and falls stays cumulative also where deltas are wanted, as OTLP exporters ask for it by default.
      return {
        descriptor,
        dataPointType: SUM,
        isMonotonic: false,
        aggregationTemporality: CUMULATIVE,
        dataPoints: asTheyAre(family, now),
      }
    case 'gauge':
      return { descriptor, dataPointType: GAUGE, aggregationTemporality: CUMULATIVE, dataPoints: asTheyAre(family, now) }
  }
}

/** What a temporality makes of points. */
interface Points {
  readonly temporality: AggregationTemporality
  counters(family: NumberFamily, now: number): DataPoint<number>[]
  histograms(family: HistogramFamily, now: number): DataPoint<Histogram>[]
  /** Everything was read. */
  taken(now: number): void
}

class Cumulative implements Points {
  readonly temporality: AggregationTemporality = CUMULATIVE

  counters(family: NumberFamily, now: number): DataPoint<number>[] {
    return asTheyAre(family, now)
  }

  histograms(family: HistogramFamily, now: number): DataPoint<Histogram>[] {
    return family.points.map((point) => dataPoint(point, point.since, now, histogramOf(family, point.buckets, point.sum)))
  }

  taken(): void {}
}

/** Subtracts what was reported last. Points with nothing new are left out. */
class Deltas implements Points {
  readonly temporality: AggregationTemporality = DELTA
  #before = new Map<string, Reported>()
  #after = new Map<string, Reported>()
  #takenAt = Number.NEGATIVE_INFINITY

  counters(family: NumberFamily, now: number): DataPoint<number>[] {
    return family.points.flatMap((point) => {
      const value = point.value - (this.#last(family, point, [], point.value)?.sum ?? 0)
      return value > 0 ? [dataPoint(point, this.#start(point), now, value)] : []
    })
  }

  histograms(family: HistogramFamily, now: number): DataPoint<Histogram>[] {
    return family.points.flatMap((point) => {
      const last = this.#last(family, point, point.buckets, point.sum)
      const buckets = point.buckets.map((count, i) => count - (last?.buckets[i] ?? 0))
      const value = histogramOf(family, buckets, Math.max(0, point.sum - (last?.sum ?? 0)))
      return value.count > 0 ? [dataPoint(point, this.#start(point), now, value)] : []
    })
  }

  taken(now: number): void {
    this.#before = this.#after
    this.#after = new Map()
    this.#takenAt = now
  }

  /** What was reported last of this very series, and notes what is reported now. A series that began anew reported nothing. */
  #last(family: Family, point: Point, buckets: readonly number[], sum: number): Reported | undefined {
    const key = `${family.name} ${JSON.stringify(point.attributes)}`
    this.#after.set(key, { since: point.since, buckets, sum })
    const last = this.#before.get(key)
    return last?.since === point.since ? last : undefined
  }

  #start(point: Point): number {
    return Math.max(point.since, this.#takenAt)
  }
}

interface Reported {
  readonly since: number
  readonly buckets: readonly number[]
  readonly sum: number
}

function asTheyAre(family: NumberFamily, now: number): DataPoint<number>[] {
  return family.points.map((point) => dataPoint(point, point.since, now, point.value))
}

function dataPoint<T>(point: Point, start: number, end: number, value: T): DataPoint<T> {
  return { attributes: point.attributes, startTime: epoch(start), endTime: epoch(end), value }
}

function histogramOf({ bounds }: HistogramFamily, counts: readonly number[], sum: number): Histogram {
  const count = counts.reduce((total, n) => total + n, 0)
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, count, sum }
}

/** Monotonic milliseconds as time since 1970, as OpenTelemetry's own clock counts it. */
function epoch(ms: number): HrTime {
  const at = performance.timeOrigin + ms
  const seconds = Math.floor(at / 1_000)
  return [seconds, Math.floor((at - seconds * 1_000) * 1_000_000)]
}

function hasPoints(metric: MetricData): boolean {
  return metric.dataPoints.length > 0
}

function valueTypeOf(family: Family): ValueType {
  return family.kind === 'histogram' || family.kind === 'gauge' ? DOUBLE : INT
}

const oneOfTwo: OptionCheck = (value) => (value === 'cumulative' || value === 'delta' ? undefined : "'cumulative' or 'delta'")

// OpenTelemetry's enums as numbers, so that the SDK is not loaded for their sake; a test holds them to the SDK's.
const DELTA = 0 as AggregationTemporality.DELTA
const CUMULATIVE = 1 as AggregationTemporality.CUMULATIVE
const HISTOGRAM = 0 as DataPointType.HISTOGRAM
const GAUGE = 2 as DataPointType.GAUGE
const SUM = 3 as DataPointType.SUM
const INT = 0 as ValueType.INT
const DOUBLE = 1 as ValueType.DOUBLE

/** Readers take the resource of their own provider and ignore this one. */
const NO_RESOURCE: ResourceMetrics['resource'] = {
  attributes: {},
  merge: (other) => other ?? NO_RESOURCE,
  getRawAttributes: () => [],
}
