import { type CallerSeries, PROTOCOLS, refusalsOf } from './caller-series.ts'
import { type InboundReading, OTHER } from './inbound-metrics.ts'
import { SERVED_REASONS } from './inbound-reasons.ts'
import { methodName } from './method-series.ts'
import type { ServedRoute, ServedSeries } from './served-series.ts'
import type { SpanStats, TrafficStats } from './stats.ts'
import type { StatsWindow } from './stats-window.ts'

/** What one caller has asked of this process in one protocol. */
export interface InboundStats {
  /** As it calls itself; empty when it doesn't, `other` for the callers that found no room. */
  readonly caller: string
  readonly protocol: 'http' | 'grpc'
  /** Latencies are from the request's head to the answer's last byte, without those that were refused or whose caller left. */
  readonly requests: TrafficStats
  /** What policies refused, by reason: only what occurred. */
  readonly refused: Readonly<Record<string, number>>
  /** What policies in shadow mode would have refused, likewise. */
  readonly wouldHaveRefused: Readonly<Record<string, number>>
  /** By name. */
  readonly routes: readonly InboundRouteStats[]
}

export interface InboundRouteStats {
  /** The route's template, or `pkg.Service/Method`; empty for what matched none, `other` for what found no room and for methods that the server doesn't have. */
  readonly name: string
  readonly requests: SpanStats
}

/** A row for each caller and protocol that were ever seen together, those who call most first. */
export function inboundStats(reading: InboundReading, window: StatsWindow): InboundStats[] {
  return PROTOCOLS.flatMap((protocol, i) => {
    const pairs = pairsByCaller(reading[protocol])
    return reading.callers.map((caller) => callerStats(caller, i, pairs.get(caller) ?? [], window))
  })
    .filter(isSeen)
    .sort((a, b) => b.requests.total - a.requests.total)
}

interface Pair {
  readonly route: ServedRoute
  readonly series: ServedSeries
}

function pairsByCaller(routes: readonly ServedRoute[]): Map<CallerSeries, Pair[]> {
  const pairs = routes.flatMap((route) => [...route.byCaller.values()].map((series) => ({ route, series })))
  return Map.groupBy(pairs, ({ series }) => series.caller)
}

function callerStats(caller: CallerSeries, protocol: number, pairs: readonly Pair[], window: StatsWindow): InboundStats {
  const traffic = pairs.map(({ series }) => series.requests)
  return {
    caller: caller.name ?? OTHER,
    protocol: PROTOCOLS[protocol] as InboundStats['protocol'],
    requests: {
      inFlight: caller.inFlight[protocol] as number,
      ...window.span(traffic, caller.ledgers[protocol], SERVED_REASONS),
    },
    refused: Object.fromEntries(refusalsOf(caller.refused, protocol)),
    wouldHaveRefused: Object.fromEntries(refusalsOf(caller.wouldHaveRefused, protocol)),
    routes: pairs.map((pair) => routeStats(pair, protocol, window)).sort((a, b) => (a.name < b.name ? -1 : 1)),
  }
}

function routeStats({ route, series }: Pair, protocol: number, window: StatsWindow): InboundRouteStats {
  const name = (PROTOCOLS[protocol] === 'grpc' ? methodName(route.name) : route.name) ?? OTHER
  return { name, requests: window.span([series.requests], undefined, SERVED_REASONS) }
}

function isSeen({ requests }: InboundStats): boolean {
  return requests.total > 0 || requests.inFlight > 0
}
