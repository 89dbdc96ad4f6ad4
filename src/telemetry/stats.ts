import type { Endpoint } from '../core/endpoint.ts'
import type { EgressSeries, GoldenMetrics, MetricsReading, ServiceReading } from './golden-metrics.ts'
import { SLOTS } from './histogram.ts'
import { type Sample, sampleOf } from './sample.ts'
import type { EndpointSeries, RouteSeries } from './service-series.ts'
import { AGAIN, addUp, type Ledger, type Traffic } from './traffic.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** Endpoints of a service that are listed one by one; `total` counts them all. */
const MAX_LISTED = 1_000

/** What this process has seen of the services it calls: the rows of `stat`, `edges` and `routes`. JSON-able. */
export interface MeshStats {
  /** The service that this process is itself; empty when it is none. */
  readonly from: string
  readonly uptimeMs: number
  /** By name. */
  readonly services: readonly ServiceStats[]
  /** Hosts outside the mesh, most called first; `other` is the rest. */
  readonly egress: readonly EgressStats[]
}

export interface ServiceStats {
  readonly name: string
  /** What the callers saw. */
  readonly calls: TrafficStats
  /** What was sent. Latencies are to the answer's head. */
  readonly attempts: TrafficStats
  readonly budget: { readonly balance: number }
  readonly endpoints: EndpointsStats
  readonly routes: readonly RouteStats[]
}

/** Since the mesh began, and lately. */
export interface TrafficStats extends Sample {
  readonly inFlight: number
  /** The last 5 to 10 seconds; less when the mesh is younger. */
  readonly recent: Sample
}

export interface RouteStats {
  /** `other` for the routes that found no room. */
  readonly name: string
  readonly calls: TrafficStats
}

export interface EndpointsStats {
  readonly total: number
  /** In the balancer's sight. */
  readonly ready: number
  /** Their breaker is shut, whether they are used all the same or not. */
  readonly shut: number
  /** The first thousand. */
  readonly list: readonly EndpointStats[]
}

export interface EndpointStats {
  /** `host:port` */
  readonly name: string
  readonly zone?: string
  readonly weight: number
  /** `forced`: shut, but used because too many of the service are. */
  readonly state: 'ready' | 'forced' | 'ejected'
  readonly inFlight: number
  /** What the balancer compares; lower is better. */
  readonly cost: number
  /** Latencies are to the answer's head. Absent before the first attempt, and again after 10 idle minutes. */
  readonly attempts?: TrafficStats
}

export interface EgressStats {
  readonly host: string
  readonly calls: number
}

/** Reads the golden metrics. Idle series are given up afterwards. */
export function statsOf(metrics: GoldenMetrics, from: string): MeshStats {
  const reading = metrics.read()
  const uptimeMs = reading.now - metrics.since
  const window = new Window(reading, uptimeMs)
  return {
    from,
    uptimeMs,
    services: reading.services.map((service) => serviceStats(service, window)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    egress: reading.egress.map(egressStats).sort((a, b) => b.calls - a.calls),
  }
}

function serviceStats(reading: ServiceReading, window: Window): ServiceStats {
  const { series, routes, endpoints } = reading
  const { service, expiredCalls, expiredAttempts } = series
  const calls = routes.map((route) => route.calls)
  const attempts = endpoints.map((endpoint) => endpoint.attempts)
  return {
    name: series.name,
    calls: window.traffic(calls, expiredCalls),
    attempts: window.traffic(attempts, expiredAttempts),
    budget: { balance: service.budget.balance },
    endpoints: { ...service.counts, list: endpointList(reading, window) },
    routes: routes.map((route) => routeStats(route, window)),
  }
}

function routeStats(route: RouteSeries, window: Window): RouteStats {
  return { name: route.name ?? 'other', calls: window.traffic([route.calls]) }
}

function endpointList({ series }: ServiceReading, window: Window): EndpointStats[] {
  const list: EndpointStats[] = []
  for (const endpoint of series.service.endpoints) {
    if (list.length === MAX_LISTED) break
    list.push(endpointStats(endpoint, series.endpoints.get(endpoint.name), window))
  }
  return list
}

function endpointStats(endpoint: Endpoint, series: EndpointSeries | undefined, window: Window): EndpointStats {
  const { name, zone, weight, inFlight, meter } = endpoint
  return {
    name,
    ...(zone !== undefined && { zone }),
    weight,
    state: stateOf(endpoint),
    inFlight,
    cost: meter.cost(window.now),
    ...(series !== undefined && { attempts: window.traffic([series.attempts]) }),
  }
}

function stateOf(endpoint: Endpoint): EndpointStats['state'] {
  if (!endpoint.shut) return 'ready'
  return endpoint.forced ? 'forced' : 'ejected'
}

function egressStats(egress: EgressSeries): EgressStats {
  return { host: egress.host ?? 'other', calls: egress.calls }
}

/** A reading's two lengths of time. */
class Window {
  readonly now: number
  readonly #period: number
  readonly #wholeMs: number
  readonly #recentMs: number

  constructor({ now, period }: MetricsReading, uptimeMs: number) {
    this.now = now
    this.#period = period
    this.#wholeMs = uptimeMs
    this.#recentMs = Math.min(uptimeMs, now - (period - 1) * PERIOD_MS)
  }

  traffic(parts: readonly Traffic[], expired?: Ledger): TrafficStats {
    const ends = expired?.ends.slice() ?? new Float64Array(AGAIN + 1)
    const slots = expired?.slots.slice() ?? new Float64Array(SLOTS)
    const recentEnds = new Float64Array(AGAIN + 1)
    const recentSlots = new Float64Array(SLOTS)
    let inFlight = 0
    for (const part of parts) {
      inFlight += part.inFlight
      addUp(ends, part.ends.totals())
      addUp(slots, part.latency.counts.totals())
      addUp(recentEnds, part.ends.recent(this.#period))
      addUp(recentSlots, part.latency.counts.recent(this.#period))
    }
    const recent = sampleOf(recentEnds, recentSlots, this.#recentMs)
    return { inFlight, ...sampleOf(ends, slots, this.#wholeMs), recent }
  }
}
