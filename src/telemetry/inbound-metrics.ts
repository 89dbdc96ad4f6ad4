import type { Inbound, InboundReason, Refusal } from '../core/inbound.ts'
import { INBOUND_REASONS } from '../core/inbound.ts'
import type { InboundObserver, RefusalMode } from '../core/inbound-observer.ts'
import { BoundedSeries } from './bounded-series.ts'
import { CallerSeries, PROTOCOLS } from './caller-series.ts'
import { knownCode } from './grpc-status.ts'
import type { MethodIndexes } from './http-durations.ts'
import { inboundReasonIndex } from './inbound-reasons.ts'
import { MAX_METHODS, SHOWN_AS_OTHER } from './method-series.ts'
import { RuleSeries } from './rule-series.ts'
import { ServedRoute, ServedSeries } from './served-series.ts'
import { PERIOD_MS } from './windowed-counters.ts'

/** Callers that are told apart. */
export const MAX_CALLERS = 100
/** Routes of this process's HTTP servers that are told apart. */
export const MAX_ROUTES = 1_000
/** Pairs of caller and route that are told apart; beyond, a request counts for its route, and its caller as `other`. */
export const MAX_PAIRS = 2_000
/** Rules of who may ask for what that are told apart: as many as there may be at a time, and the two that are always there. */
const MAX_RULES = 1_002
/** How the callers, and likewise the routes, are called that found no room. */
export const OTHER = 'other'

const SCHEMES = ['http', 'https'] as const
/** How callers come, in the order of their counters. */
export const SECURITIES = ['mtls', 'tls', 'plaintext'] as const

/** What is kept with a request, as handlers may change its headers and its method meanwhile. */
const CALLER = Symbol('inmesh.caller')
const KIND = Symbol('inmesh.kind')
const METHOD = Symbol('inmesh.method')

interface CountedInbound extends Inbound {
  /** `http` when the door doesn't say. */
  readonly scheme?: 'http' | 'https'
  [CALLER]?: CallerSeries
  /** Of HTTP: the index of scheme and method. */
  [KIND]?: number
  /** Of gRPC. */
  [METHOD]?: ServedRoute
}

/**
 * Counts every request that this process serves: by caller, route or gRPC method, how many, how they ended, how long they took; how many are
 * under way; what was refused, and what would have been. About 0.1 us a request and no allocation: a few map look-ups and increments.
 *
 * Callers name themselves, so at most 100 are told apart, with 1000 routes, 1000 gRPC methods and 2000 pairs of caller and route or method: at
 * most 60 MB, with every combination of them and of all statuses; some 5 KB a pair as it is. What is idle for 10 minutes is given up.
 */
export class InboundMetrics implements InboundObserver {
  readonly #methods: MethodIndexes
  readonly #kinds: number
  readonly #callers: BoundedSeries<string, CallerSeries>
  readonly #http = new BoundedSeries<string, ServedRoute>(MAX_ROUTES, servedRoute, [OTHER])
  /** Methods that a server doesn't have come without a route: their paths are the callers' to choose. */
  readonly #grpc = new BoundedSeries<string, ServedRoute>(MAX_METHODS, servedRoute, ['', ...SHOWN_AS_OTHER])
  readonly #rules = new BoundedSeries<string, RuleSeries>(MAX_RULES, (name, period) => new RuleSeries(name, period), [OTHER])
  /** Requests by protocol and by how their callers came. */
  readonly #security = new Float64Array(PROTOCOLS.length * SECURITIES.length)
  #pairs = 0
  /** Of the latest event: requests carry their time, so that counting need not ask the clock. */
  #period = 0
  #periodEnds = 0

  /** @param methods HTTP methods that are told apart */
  constructor(methods: MethodIndexes) {
    this.#methods = methods
    this.#kinds = SCHEMES.length * (methods.size + 1)
    this.#callers = new BoundedSeries(MAX_CALLERS, (name, period) => new CallerSeries(name, period, this.#kinds), [OTHER])
  }

  // === the request path

  requestStarted(inbound: CountedInbound): void {
    const period = this.#periodAt(inbound.startedAt)
    const caller = this.#callers.of(inbound.caller, period)
    inbound[CALLER] = caller
    const security = securityIndex(inbound)
    if (inbound.protocol === 'grpc') {
      add(this.#security, GRPC * SECURITIES.length + security, 1)
      const method = this.#grpc.of(inbound.route, period)
      inbound[METHOD] = method
      method.started++
      method.inFlight++
      add(caller.inFlight, GRPC, 1)
      return
    }
    add(this.#security, HTTP * SECURITIES.length + security, 1)
    const kind = this.#kindOf(inbound)
    inbound[KIND] = kind
    add(caller.inFlight, HTTP, 1)
    add(caller.active, kind, 1)
  }

  requestRefused(inbound: CountedInbound, refusal: Refusal, mode: RefusalMode): void {
    const caller = inbound[CALLER]
    if (caller === undefined) return
    const counts = mode === 'enforced' ? caller.refused : caller.wouldHaveRefused
    const protocol = inbound.protocol === 'grpc' ? GRPC : HTTP
    add(counts, protocol * INBOUND_REASONS.length + inboundReasonIndex(refusal.reason), 1)
    if (refusal.rule !== undefined) this.#rules.of(refusal.rule, this.#period).count(protocol, mode, this.#period)
  }

  requestEnded(inbound: CountedInbound, status: number, reason: InboundReason, elapsedMs: number): void {
    const caller = inbound[CALLER]
    if (caller === undefined) return
    const period = this.#periodAt(inbound.startedAt + elapsedMs)
    const index = inboundReasonIndex(reason)
    const method = inbound[METHOD]
    caller.period = period
    add(caller.inFlight, method === undefined ? HTTP : GRPC, -1)
    const series = method === undefined ? this.#httpSeries(inbound, caller, period) : this.#grpcSeries(method, caller, period)
    series.requests.count(index, inbound.attempt, elapsedMs, period)
    if (method === undefined) return series.httpEnded(inbound[KIND] as number, status, index, elapsedMs, period)
    const code = knownCode(status)
    series.rpc.record(code, elapsedMs)
    method.durations.record(code, elapsedMs)
  }

  #httpSeries(inbound: CountedInbound, caller: CallerSeries, period: number): ServedSeries {
    add(caller.active, inbound[KIND] as number, -1)
    const route = this.#http.of(inbound.route, period)
    route.period = period
    return route.byCaller.get(caller) ?? this.#newPair(route, caller)
  }

  #grpcSeries(method: ServedRoute, caller: CallerSeries, period: number): ServedSeries {
    method.inFlight--
    method.period = period
    return method.byCaller.get(caller) ?? this.#newPair(method, caller)
  }

  #kindOf(inbound: CountedInbound): number {
    const method = this.#methods.get(inbound.method) ?? this.#methods.size
    return inbound.scheme === 'https' ? method + this.#methods.size + 1 : method
  }

  #periodAt(now: number): number {
    if (now >= this.#periodEnds) this.#turnTo(now)
    return this.#period
  }

  // === what happens rarely

  #turnTo(now: number): void {
    this.#period = Math.floor(now / PERIOD_MS)
    this.#periodEnds = (this.#period + 1) * PERIOD_MS
  }

  #newPair(route: ServedRoute, caller: CallerSeries): ServedSeries {
    const known = this.#pairs < MAX_PAIRS ? caller : this.#callers.rest(this.#period)
    const pair = route.byCaller.get(known) ?? new ServedSeries(known, this.#period)
    if (!route.byCaller.has(known)) {
      route.byCaller.set(known, pair)
      this.#pairs++
    }
    known.period = this.#period
    return pair
  }

  // === reading

  /** Every series there is, at this moment. */
  read(): InboundReading {
    return {
      kinds: this.#kindNames(),
      callers: [...this.#callers.values()],
      http: [...this.#http.values()],
      grpc: [...this.#grpc.values()],
      rules: [...this.#rules.values()],
      security: this.#security,
    }
  }

  /** Gives up what was last used in `period` or before, and has nothing under way. */
  expire(period: number): void {
    for (const routes of [this.#http, this.#grpc]) {
      const protocol = routes === this.#grpc ? GRPC : HTTP
      for (const route of routes.values()) this.#expirePairs(route, protocol, period)
      routes.expire(period)
    }
    this.#callers.expire(period)
    this.#rules.expire(period)
  }

  #expirePairs({ byCaller }: ServedRoute, protocol: number, period: number): void {
    for (const [caller, pair] of byCaller) {
      pair.http.series.expire(period)
      if (pair.period > period) continue
      caller.ledgers[protocol]?.add(pair.requests)
      byCaller.delete(caller)
      this.#pairs--
    }
  }

  #kindNames(): HttpKind[] {
    const methods = [...this.#methods.keys(), '_OTHER']
    return SCHEMES.flatMap((scheme) => methods.map((method) => ({ scheme, method })))
  }
}

/** What there is to read, at one moment. */
export interface InboundReading {
  /** What the indexes of scheme and method mean. */
  readonly kinds: readonly HttpKind[]
  /** Those that found no room last. */
  readonly callers: readonly CallerSeries[]
  readonly http: readonly ServedRoute[]
  readonly grpc: readonly ServedRoute[]
  /** Rules of who may ask for what that refused something, or would have. */
  readonly rules: readonly RuleSeries[]
  /** Requests by protocol, then by how their callers came. */
  readonly security: Float64Array
}

export interface HttpKind {
  readonly scheme: (typeof SCHEMES)[number]
  /** `_OTHER` when not known. */
  readonly method: string
}

/** Indexes in PROTOCOLS. */
const HTTP = 0
const GRPC = 1

function securityIndex({ security }: Inbound): number {
  if (security === 'mtls') return 0
  return security === 'tls' ? 1 : 2
}

function servedRoute(name: string | undefined, period: number): ServedRoute {
  return new ServedRoute(name, period)
}

function add(counts: Float64Array, index: number, by: number): void {
  counts[index] = (counts[index] as number) + by
}
