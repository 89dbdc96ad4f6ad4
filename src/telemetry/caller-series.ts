import { INBOUND_REASONS, type InboundReason } from '../core/inbound.ts'
import type { Expirable } from './bounded-series.ts'
import { SERVED_REASONS } from './inbound-reasons.ts'
import { Ledger } from './traffic.ts'

/** The protocols of requests that are served, in the order of their counters. */
export const PROTOCOLS = ['http', 'grpc'] as const

/** All that is counted of one caller before it is known which route it asks for. */
export class CallerSeries implements Expirable {
  /** As it calls itself, empty when it doesn't; undefined for the callers that found no room. */
  readonly name: string | undefined
  /** The period it was made in. */
  readonly since: number
  /** HTTP requests under way, by scheme and method. */
  readonly active: Float64Array
  /** Requests under way, by protocol. */
  readonly inFlight: Float64Array = new Float64Array(PROTOCOLS.length)
  /** By protocol and reason. */
  readonly refused: Float64Array = new Float64Array(PROTOCOLS.length * INBOUND_REASONS.length)
  /** What a policy in shadow mode would have refused, likewise. */
  readonly wouldHaveRefused: Float64Array = new Float64Array(PROTOCOLS.length * INBOUND_REASONS.length)
  /** What its expired series held, by protocol. */
  readonly ledgers: readonly Ledger[] = PROTOCOLS.map(() => new Ledger(SERVED_REASONS))
  period: number
  expired = false

  /** @param kinds how many combinations of scheme and method there are */
  constructor(name: string | undefined, period: number, kinds: number) {
    this.name = name
    this.since = period
    this.period = period
    this.active = new Float64Array(kinds)
  }

  get busy(): boolean {
    return this.inFlight[0] !== 0 || this.inFlight[1] !== 0
  }
}

/** Refusals of one protocol, by reason: only what occurred. */
export function refusalsOf(counts: Float64Array, protocol: number): [reason: InboundReason, count: number][] {
  return INBOUND_REASONS.map((reason, i): [InboundReason, number] => [
    reason,
    counts[protocol * INBOUND_REASONS.length + i] as number,
  ]).filter(([, count]) => count > 0)
}
