import { integerFrom, readOptions } from '../../core/options.ts'
import type { LimitFactory } from './limit.ts'

export interface FixedLimitOptions {
  /** How many requests may be under way at once, 1 or more. Default 1000. */
  readonly requests: number
}

/**
 * A limit that never changes, for those who know it.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function fixedLimit(options?: Partial<FixedLimitOptions>): LimitFactory {
  const { requests } = readOptions('fixedLimit', options, { requests: 1_000 }, { requests: integerFrom(1) })
  return () => ({ value: requests, sample() {} })
}
