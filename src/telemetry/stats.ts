import type { Endpoint } from '../core/endpoint.ts'
import type { EgressSeries, GoldenMetrics, ServiceReading } from './golden-metrics.ts'
import { type InboundStats, inboundStats } from './inbound-stats.ts'
import type { Sample } from './sample.ts'
import { identitiesOf, securedOf } from './secured.ts'
import type { EndpointSeries, RouteSeries } from './service-series.ts'
import { StatsWindow } from './stats-window.ts'

/** Endpoints of a service that are listed one by one; `total` counts them all. */
const MAX_LISTED = 1_000

/** What this process has seen of the services it calls, and of those who call it: the rows of `stat`, `edges` and `routes`. JSON-able. */
export interface MeshStats {
  /** The service that this process is itself; empty when it is none. */
  readonly from: string
  /** The SPIFFE ID that this process proves to those it calls, and to its callers; null as long as it needs none, and when nothing is secured. */
  readonly identity: string | null
  readonly uptimeMs: number
  /** By name. */
  readonly services: readonly ServiceStats[]
  /** Hosts outside the mesh, most called first; `other` is the rest. */
  readonly egress: readonly EgressStats[]
  /** Who calls this process, by caller and protocol, those who call most first. */
  readonly inbound: readonly InboundStats[]
}

export interface ServiceStats {
  readonly name: string
  /** What the callers saw. */
  readonly calls: TrafficStats
  /** What was sent. Latencies are to the answer's head. */
  readonly attempts: TrafficStats
  /** Attempts that were sent beside others of their call, since the mesh began. */
  readonly hedges: number
  readonly budget: { readonly balance: number }
  /**
   * Whether all calls in the clear are sent by mutual TLS: false when an endpoint is called in plaintext, null when none was connected to yet. Of the
   * endpoints that there are now.
   */
  readonly secured: boolean | null
  /** Whom the endpoints have proved to be, or are expected to: their SPIFFE IDs, sorted, each once; the first hundred. */
  readonly identities: readonly string[]
  readonly endpoints: EndpointsStats
  readonly routes: readonly RouteStats[]
}

/** Since the mesh began, and lately. */
export interface SpanStats extends Sample {
  /** The last 5 to 10 seconds; less when the mesh is younger. */
  readonly recent: Sample
}

export interface TrafficStats extends SpanStats {
  readonly inFlight: number
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
  /**
   * Whether what is called in the clear is sent to it by mutual TLS and never otherwise; null before the first connection. Calls by `https:` are the
   * application's to secure, and say nothing here.
   */
  readonly secured: boolean | null
  /** The SPIFFE ID that it has proved last, before that the one that discovery names; null when there is neither, and in plaintext. */
  readonly identity: string | null
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
  const window = new StatsWindow(reading, uptimeMs)
  return {
    from,
    identity: metrics.tls.read().identity ?? null,
    uptimeMs,
    services: reading.services.map((service) => serviceStats(service, window)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    egress: reading.egress.map(egressStats).sort((a, b) => b.calls - a.calls),
    inbound: inboundStats(reading.inbound, window),
  }
}

function serviceStats(reading: ServiceReading, window: StatsWindow): ServiceStats {
  const { series, routes, endpoints } = reading
  const { service, expiredCalls, expiredAttempts } = series
  const calls = routes.map((route) => route.calls)
  const attempts = endpoints.map((endpoint) => endpoint.attempts)
  return {
    name: series.name,
    calls: window.traffic(calls, expiredCalls),
    attempts: window.traffic(attempts, expiredAttempts),
    hedges: routes.reduce((sum, route) => sum + route.hedges, series.expiredHedges),
    budget: { balance: service.budget.balance },
    secured: securedOf(service.endpoints.map(isSecured)),
    identities: identitiesOf(service.endpoints.map(provedBy)),
    endpoints: { ...service.counts, list: endpointList(reading, window) },
    routes: routes.map((route) => routeStats(route, window)),
  }
}

function routeStats(route: RouteSeries, window: StatsWindow): RouteStats {
  return { name: route.name ?? 'other', calls: window.traffic([route.calls]) }
}

function endpointList({ series }: ServiceReading, window: StatsWindow): EndpointStats[] {
  const list: EndpointStats[] = []
  for (const endpoint of series.service.endpoints) {
    if (list.length === MAX_LISTED) break
    list.push(endpointStats(endpoint, series.endpoints.get(endpoint.name), window))
  }
  return list
}

function endpointStats(endpoint: Endpoint, series: EndpointSeries | undefined, window: StatsWindow): EndpointStats {
  const { name, zone, weight, inFlight, meter } = endpoint
  return {
    name,
    ...(zone !== undefined && { zone }),
    weight,
    state: stateOf(endpoint),
    secured: isSecured(endpoint),
    identity: provedBy(endpoint),
    inFlight,
    cost: meter.cost(window.now),
    ...(series !== undefined && { attempts: window.traffic([series.attempts]) }),
  }
}

function stateOf(endpoint: Endpoint): EndpointStats['state'] {
  if (!endpoint.shut) return 'ready'
  return endpoint.forced ? 'forced' : 'ejected'
}

function isSecured({ secured }: Endpoint): boolean | null {
  return secured ?? null
}

function provedBy({ secured, identity }: Endpoint): string | null {
  return secured === false ? null : (identity ?? null)
}

function egressStats(egress: EgressSeries): EgressStats {
  return { host: egress.host ?? 'other', calls: egress.calls }
}
