import type { InboundRouteStats, InboundStats } from './inbound-stats.ts'
import { addSamples } from './sample.ts'
import { identitiesOf, securedOf } from './secured.ts'
import type {
  EgressStats,
  EndpointStats,
  EndpointsStats,
  MeshStats,
  RouteStats,
  ServiceStats,
  SpanStats,
  TrafficStats,
} from './stats.ts'

/**
 * What several processes have seen, as one: services of the same name become one row, its percentiles those of all latencies
 * together. Merge the stats of all processes for a table of services, and those with the same `from` for a table of edges. Who calls becomes one
 * row a caller and protocol.
 *
 * Of endpoints, traffic and what is in flight add up; the counts are those of the process that knows most, the state the worst
 * that any process sees, the cost the mean. What one process calls in plaintext is not secured, whatever the others do. The identity is the one that
 * all have who have any; null when they have several.
 */
export function mergeStats(list: readonly MeshStats[]): MeshStats {
  const froms = new Set(list.map((stats) => stats.from))
  const identities = identitiesOf(list.map((stats) => stats.identity))
  return {
    from: froms.size === 1 ? ([...froms][0] as string) : '',
    identity: identities.length === 1 ? (identities[0] as string) : null,
    uptimeMs: most(list.map((stats) => stats.uptimeMs)),
    services: byName(list.flatMap((stats) => stats.services)).map(mergeServices),
    egress: groups(
      list.flatMap((stats) => stats.egress),
      (egress) => egress.host,
    ).map(mergeEgress),
    inbound: groups(
      list.flatMap((stats) => stats.inbound),
      ({ protocol, caller }) => `${protocol} ${caller}`,
    ).map(mergeInbound),
  }
}

function mergeServices(list: readonly ServiceStats[]): ServiceStats {
  return {
    name: first(list).name,
    calls: mergeTraffic(list.map((service) => service.calls)),
    attempts: mergeTraffic(list.map((service) => service.attempts)),
    hedges: add(list.map((service) => service.hedges)),
    budget: { balance: add(list.map((service) => service.budget.balance)) },
    secured: securedOf(list.map((service) => service.secured)),
    identities: identitiesOf(list.flatMap((service) => service.identities)),
    endpoints: mergeEndpoints(list.map((service) => service.endpoints)),
    routes: byName(list.flatMap((service) => service.routes)).map(mergeRoutes),
  }
}

function mergeTraffic(list: readonly TrafficStats[]): TrafficStats {
  return { ...mergeSpans(list), inFlight: add(list.map((traffic) => traffic.inFlight)) }
}

function mergeSpans(list: readonly SpanStats[]): SpanStats {
  return { ...addSamples(list), recent: addSamples(list.map((span) => span.recent)) }
}

function mergeRoutes(list: readonly RouteStats[]): RouteStats {
  return { name: first(list).name, calls: mergeTraffic(list.map((route) => route.calls)) }
}

function mergeEndpoints(list: readonly EndpointsStats[]): EndpointsStats {
  const { total, ready, shut } = list.reduce((a, b) => (b.total > a.total ? b : a))
  return { total, ready, shut, list: byName(list.flatMap((endpoints) => endpoints.list)).map(mergeEndpoint) }
}

function mergeEndpoint(list: readonly EndpointStats[]): EndpointStats {
  const attempts = list.flatMap((endpoint) => endpoint.attempts ?? [])
  return {
    ...first(list),
    state: first(STATES.filter((state) => list.some((endpoint) => endpoint.state === state))),
    secured: securedOf(list.map((endpoint) => endpoint.secured)),
    identity: list.find((endpoint) => endpoint.identity !== null)?.identity ?? null,
    inFlight: add(list.map((endpoint) => endpoint.inFlight)),
    cost: add(list.map((endpoint) => endpoint.cost)) / list.length,
    ...(attempts.length > 0 && { attempts: mergeTraffic(attempts) }),
  }
}

/** The worst first. */
const STATES: readonly EndpointStats['state'][] = ['ejected', 'forced', 'ready']

function mergeEgress(list: readonly EgressStats[]): EgressStats {
  return { host: first(list).host, calls: add(list.map((egress) => egress.calls)) }
}

function mergeInbound(list: readonly InboundStats[]): InboundStats {
  const { caller, protocol } = first(list)
  return {
    caller,
    protocol,
    requests: mergeTraffic(list.map((inbound) => inbound.requests)),
    refused: addCounts(list.map((inbound) => inbound.refused)),
    wouldHaveRefused: addCounts(list.map((inbound) => inbound.wouldHaveRefused)),
    routes: byName(list.flatMap((inbound) => inbound.routes)).map(mergeInboundRoutes),
  }
}

function mergeInboundRoutes(list: readonly InboundRouteStats[]): InboundRouteStats {
  return { name: first(list).name, requests: mergeSpans(list.map((route) => route.requests)) }
}

function byName<T extends { readonly name: string }>(list: readonly T[]): T[][] {
  return groups(list, (item) => item.name)
}

function groups<T>(list: readonly T[], keyOf: (item: T) => string): T[][] {
  return [...Map.groupBy(list, keyOf).values()]
}

/** Of a group, which is never empty. */
function first<T>(list: readonly T[]): T {
  return list[0] as T
}

function add(list: readonly number[]): number {
  return list.reduce((sum, n) => sum + n, 0)
}

function addCounts(list: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const [key, count] of list.flatMap((counts) => Object.entries(counts))) sums[key] = (sums[key] ?? 0) + count
  return sums
}

function most(list: readonly number[]): number {
  return list.reduce((a, b) => Math.max(a, b), 0)
}
