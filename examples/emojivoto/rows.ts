import { type MeshStats, mergeStats, type ServiceStats, type TrafficStats } from 'inmesh'

/** What is known of the calls to a service, or of one caller's calls to it. */
export interface Traffic {
  /** Share of calls that succeeded, 0 to 1; null without traffic. */
  readonly success: number | null
  readonly rps: number
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  readonly calls: number
  /** Calls that took more than one attempt. */
  readonly retries: number
  readonly endpointsReady: number
  readonly endpointsTotal: number
}

/** Who calls whom. */
export interface Edge extends Traffic {
  readonly from: string
  readonly to: string
  /** Whether all calls go by mutual TLS; null as long as none was made. */
  readonly secured: boolean | null
  /** The SPIFFE ID that the callers prove; null without one. */
  readonly clientIdentity: string | null
  /** The SPIFFE ID that the endpoints have proved, the first if they are several; null without one. */
  readonly serverIdentity: string | null
}

export interface Rows {
  readonly services: readonly ({ readonly name: string } & Traffic)[]
  readonly edges: readonly Edge[]
}

/**
 * Puts together what the processes have seen: a row for each service, as all its callers saw it, and a row for each pair of caller and callee.
 *
 * @param span `recent` for the last seconds, `whole` for all since the start
 */
export function rowsOf(names: readonly string[], list: readonly MeshStats[], span: 'recent' | 'whole'): Rows {
  const all = mergeStats(list)
  const callers = [...new Set(list.map((stats) => stats.from))].map((from) =>
    mergeStats(list.filter((stats) => stats.from === from)),
  )
  return {
    services: names.map((name) => ({
      name,
      ...trafficOf(
        all.services.find((s) => s.name === name),
        span,
      ),
    })),
    edges: callers.flatMap((caller) => caller.services.map((service) => edgeOf(caller, service, span))),
  }
}

function edgeOf({ from, identity }: MeshStats, service: ServiceStats, span: 'recent' | 'whole'): Edge {
  const { name: to, secured, identities } = service
  const serverIdentity = identities[0] ?? null
  return { from, to, secured, clientIdentity: identity, serverIdentity, ...trafficOf(service, span) }
}

function trafficOf(service: ServiceStats | undefined, span: 'recent' | 'whole'): Traffic {
  const traffic = span === 'whole' ? service?.calls : service?.calls.recent
  return {
    success: traffic?.successRate ?? null,
    rps: round(traffic?.rps ?? 0),
    p50Ms: rounded(traffic?.p50Ms),
    p95Ms: rounded(traffic?.p95Ms),
    p99Ms: rounded(traffic?.p99Ms),
    calls: (service?.calls as TrafficStats | undefined)?.total ?? 0,
    retries: service?.calls.retries ?? 0,
    endpointsReady: service?.endpoints.ready ?? 0,
    endpointsTotal: service?.endpoints.total ?? 0,
  }
}

function rounded(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : round(value)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
