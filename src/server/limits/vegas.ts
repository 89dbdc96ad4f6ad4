import { MeshError } from '../../core/errors.ts'
import { integerFrom, numberFrom, readOptions } from '../../core/options.ts'
import type { Limit, LimitFactory } from './limit.ts'

export interface VegasOptions {
  /** Where it begins, 1 or more, at most `max`. Default 20. */
  readonly initial: number
  /** Never above, 1 or more. Default 1000. */
  readonly max: number
  /** How much of each change is made, above 0 to 1. Default 1. */
  readonly smoothing: number
  /** What is left of the limit when somebody's time ran out, from 0.1 to 1. Default 0.9. */
  readonly backoff: number
}

/**
 * The limit of TCP Vegas (Brakmo, O'Malley, Peterson: "TCP Vegas: New Techniques for Congestion Detection and Avoidance", 1994), with the
 * growth of Netflix's concurrency-limits: from the least latency ever seen it estimates how many requests queue, and keeps that between 3 and 6 times
 * log10 of the limit. Quick to find the limit where every request costs about the same; where they differ much, take `gradient`.
 *
 * The least latency is forgotten every 30 x limit windows, so that a server that became slower for good is not held down.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function vegas(options?: Partial<VegasOptions>): LimitFactory {
  const read = readOptions('vegas', options, DEFAULTS, {
    initial: integerFrom(1),
    max: integerFrom(1),
    smoothing: numberFrom(0.001, 1),
    backoff: numberFrom(0.1, 1),
  })
  if (read.initial > read.max) {
    throw new MeshError('INMESH_CONFIG', `vegas.initial: expected at most max, which is ${read.max}, got ${read.initial}`)
  }
  return () => new Vegas(read)
}

const DEFAULTS: VegasOptions = { initial: 20, max: 1_000, smoothing: 1, backoff: 0.9 }

/** Windows after which the least latency is forgotten, for each of the limit. */
const FORGET_AFTER = 30

class Vegas implements Limit {
  readonly #options: VegasOptions
  #limit: number
  #leastMs = Number.POSITIVE_INFINITY
  #samples = 0

  constructor(options: VegasOptions) {
    this.#options = options
    this.#limit = options.initial
  }

  get value(): number {
    return Math.floor(this.#limit)
  }

  sample(latencyMs: number, inFlight: number, dropped: boolean): void {
    if (dropped) return this.#moveTo(this.#limit * this.#options.backoff)
    if (this.#isLeast(latencyMs)) return
    // far from the limit it says nothing of it
    if (inFlight * 2 < this.#limit) return
    this.#moveTo(this.#limit + this.#change(Math.ceil(this.#limit * (1 - this.#leastMs / latencyMs))))
  }

  #isLeast(latencyMs: number): boolean {
    this.#samples++
    if (latencyMs >= this.#leastMs && this.#samples <= FORGET_AFTER * this.#limit) return false
    this.#leastMs = latencyMs
    this.#samples = 0
    return true
  }

  #change(queue: number): number {
    const step = Math.max(1, Math.floor(Math.log10(this.#limit)))
    if (queue <= step) return 6 * step
    if (queue < 3 * step) return step
    return queue > 6 * step ? -step : 0
  }

  #moveTo(limit: number): void {
    const { smoothing, max } = this.#options
    const bounded = Math.min(max, Math.max(1, limit))
    this.#limit = (1 - smoothing) * this.#limit + smoothing * bounded
  }
}
