import type { Gate, GateFactory } from '../../src/core/gate.ts'
import { integerFrom, readOptions } from '../../src/core/options.ts'

export interface InFlightLimitOptions {
  /** The most attempts at an endpoint at once, 1 or more. Default 100. */
  readonly limit: number
}

/** Refuses an endpoint while it has `limit` attempts in flight. */
export function inFlightLimit(options?: Partial<InFlightLimitOptions>): GateFactory {
  const { limit } = readOptions('inFlightLimit', options, { limit: 100 }, { limit: integerFrom(1) })
  return (): Gate => {
    let out = 0
    return {
      acquire: () => out < limit && ++out > 0,
      judge() {},
      release: () => void out--,
      shutUntil: 0,
    }
  }
}
