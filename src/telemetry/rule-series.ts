import type { RefusalMode } from '../core/inbound-observer.ts'
import type { Expirable } from './bounded-series.ts'
import { PROTOCOLS } from './caller-series.ts'

/** What one rule of who may ask for what has refused. */
export class RuleSeries implements Expirable {
  /** As it was configured; undefined for the rules that found no room. */
  readonly name: string | undefined
  /** The period it was made in. */
  readonly since: number
  /** By protocol. */
  readonly refused: Float64Array = new Float64Array(PROTOCOLS.length)
  /** In audit, likewise. */
  readonly wouldHaveRefused: Float64Array = new Float64Array(PROTOCOLS.length)
  readonly busy = false
  period: number
  expired = false

  constructor(name: string | undefined, period: number) {
    this.name = name
    this.since = period
    this.period = period
  }

  /** @param protocol its index in PROTOCOLS */
  count(protocol: number, mode: RefusalMode, period: number): void {
    const counts = mode === 'enforced' ? this.refused : this.wouldHaveRefused
    counts[protocol] = (counts[protocol] as number) + 1
    this.period = period
  }
}
