import type { Runtime } from '../core/clock.ts'
import { MeshError } from '../core/errors.ts'
import { positiveMs, readOptions } from '../core/options.ts'

/**
 * How long to wait before a resend, in milliseconds, 0 or more.
 *
 * @param nth which resend of the call it is, from 1
 */
export type Backoff = (nth: number) => number

export type BackoffFactory = (runtime: Runtime) => Backoff

export interface FullJitterOptions {
  /** The longest first wait, in milliseconds, above 0; it doubles with each resend. Default 25. */
  readonly minMs: number
  /** The longest wait of all, in milliseconds, at least `minMs`. Default 250. */
  readonly maxMs: number
}

/**
 * Waits anywhere between nothing and a limit that doubles from `minMs` to `maxMs`: "full jitter" of the AWS Architecture Blog's
 * "Exponential Backoff And Jitter", under which calls that failed together come back apart.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function fullJitter(options?: Partial<FullJitterOptions>): BackoffFactory {
  const { minMs, maxMs } = readOptions('fullJitter', options, DEFAULTS, { minMs: positiveMs, maxMs: positiveMs })
  if (maxMs < minMs) {
    throw new MeshError('INMESH_CONFIG', `fullJitter.maxMs: expected at least minMs, which is ${minMs}, got ${maxMs}`)
  }
  return (runtime) => (nth) => runtime.random() * doubled(minMs, nth - 1, maxMs)
}

const DEFAULTS: FullJitterOptions = { minMs: 25, maxMs: 250 }

/** `ms` doubled `times` times, at most `maxMs`. */
export function doubled(ms: number, times: number, maxMs: number): number {
  return Math.min(ms * 2 ** times, maxMs)
}
