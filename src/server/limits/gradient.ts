import { MeshError } from '../../core/errors.ts'
import { integerFrom, numberFrom, readOptions } from '../../core/options.ts'
import type { Limit, LimitFactory } from './limit.ts'

export interface GradientOptions {
  /** Where it begins, from `min` to `max`. Default 20. */
  readonly initial: number
  /** Never below, 1 or more. Default 10. */
  readonly min: number
  /** Never above. Default 1000. */
  readonly max: number
  /** How much slower than in the long run answers may become before the limit falls, 1 or more. Default 1.5. */
  readonly tolerance: number
  /** How much of each change is made, above 0 to 1. Default 0.2. */
  readonly smoothing: number
}

/**
 * Compares the latency of now with that in the long run: when answers become slower than `tolerance` allows, the limit falls by that proportion; otherwise it grows by
 * a little queue. The method is Gradient2 of Netflix's concurrency-limits. It needs no pause to measure, and requests that differ in cost average out.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function gradient(options?: Partial<GradientOptions>): LimitFactory {
  const read = readOptions('gradient', options, DEFAULTS, {
    initial: integerFrom(1),
    min: integerFrom(1),
    max: integerFrom(1),
    tolerance: numberFrom(1, 100),
    smoothing: numberFrom(0.001, 1),
  })
  if (read.initial < read.min || read.initial > read.max) {
    throw new MeshError(
      'INMESH_CONFIG',
      `gradient.initial: expected from min, ${read.min}, to max, ${read.max}, got ${read.initial}`,
    )
  }
  return () => new Gradient(read)
}

const DEFAULTS: GradientOptions = { initial: 20, min: 10, max: 1_000, tolerance: 1.5, smoothing: 0.2 }

/** How many windows the long run is, about; of these first ones it is the plain mean. */
const LONG_RUN = 600
const WARM_UP = 10
/** Requests that may queue beyond the gradient, so that the limit can grow. */
const QUEUE = 4
/** The long run is this many times slower than now: it remembers an overload that is over, and forgets it faster. */
const STALE = 2
const FORGET = 0.95

class Gradient implements Limit {
  readonly #options: GradientOptions
  #limit: number
  #longMs = 0
  #samples = 0

  constructor(options: GradientOptions) {
    this.#options = options
    this.#limit = options.initial
  }

  get value(): number {
    return Math.floor(this.#limit)
  }

  sample(latencyMs: number, inFlight: number, dropped: boolean): void {
    const { tolerance, smoothing, min, max } = this.#options
    this.#learn(latencyMs)
    // far from the limit it says nothing of it
    if (inFlight * 2 < this.#limit && !dropped) return
    const slope = dropped ? 0.5 : Math.max(0.5, Math.min(1, (tolerance * this.#longMs) / latencyMs))
    const next = this.#limit * slope + QUEUE
    this.#limit = Math.min(max, Math.max(min, this.#limit * (1 - smoothing) + next * smoothing))
  }

  /** Exponential average, begun as a plain one. */
  #learn(latencyMs: number): void {
    this.#samples++
    const share = this.#samples <= WARM_UP ? 1 / this.#samples : 2 / (LONG_RUN + 1)
    this.#longMs += (latencyMs - this.#longMs) * share
    if (this.#longMs > latencyMs * STALE) this.#longMs *= FORGET
  }
}
