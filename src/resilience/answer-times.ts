/** How many of the latest times are kept: enough for a p99 that ten of them stand behind, at 16 KB a route. */
const KEPT = 1_000
/** Fewer say nothing of a tail. */
const LEAST = 100
/** Times from one look at the quantile to the next: sorting costs some 50 us, so 1 us a call. */
const LOOK_EVERY = 50

/** The latest answer times of a route, and one quantile of them. Takes no time of day: what is kept is a number of calls, not a span. */
export class AnswerTimes {
  /** In milliseconds; -1 as long as there are too few to tell. At most 50 times behind. */
  quantileMs = -1
  readonly #quantile: number
  readonly #times = new Float64Array(KEPT)
  readonly #sorted = new Float64Array(KEPT)
  #count = 0

  /** @param quantile between 0 and 1 */
  constructor(quantile: number) {
    this.#quantile = quantile
  }

  add(ms: number): void {
    this.#times[this.#count++ % KEPT] = ms
    if (this.#count >= LEAST && this.#count % LOOK_EVERY === 0) this.#look()
  }

  /** The smallest time that at least the given share does not exceed (nearest rank). */
  #look(): void {
    const kept = Math.min(this.#count, KEPT)
    this.#sorted.set(this.#times)
    const sorted = this.#sorted.subarray(0, kept).sort()
    this.quantileMs = sorted[Math.min(kept - 1, Math.ceil(this.#quantile * kept) - 1)] as number
  }
}
