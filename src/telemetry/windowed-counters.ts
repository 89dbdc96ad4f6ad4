/** Half of what `recent` looks back on, in milliseconds. All counters turn over at multiples of it, so that their windows agree. */
export const PERIOD_MS = 5_000

/**
 * A row of counters that also knows what was counted lately: this period and the one before, so between 5 and 10 s.
 * Counting costs one comparison and one increment; turning over happens with the first count of a new period, without a timer.
 */
export class WindowedCounters {
  readonly size: number
  /** The period of the last count: how idle it is. */
  period: number
  /** What is older than the two live periods. Doubles: 32 bits overflow within days at 10 000 counts a second. */
  readonly #older: Float64Array
  /** This period and the one before, side by side; `#offset` says which is which. */
  readonly #live: Uint32Array
  #offset = 0

  constructor(size: number, period: number) {
    this.size = size
    this.period = period
    this.#older = new Float64Array(size)
    this.#live = new Uint32Array(2 * size)
  }

  /** @param period from a clock that does not run backwards; see `PERIOD_MS` */
  add(index: number, period: number): void {
    if (period > this.period) this.#turnOver(period)
    const cell = this.#offset + index
    this.#live[cell] = (this.#live[cell] as number) + 1
  }

  /** Everything since the counters were made. A copy. */
  totals(): Float64Array {
    const totals = this.#older.slice()
    addHalf(totals, this.#live, 0)
    addHalf(totals, this.#live, this.size)
    return totals
  }

  /** What was counted in `period` and the one before it. A copy; reading does not count as use. */
  recent(period: number): Float64Array {
    const recent = new Float64Array(this.size)
    const gap = period - this.period
    if (gap <= 1) addHalf(recent, this.#live, this.#offset)
    if (gap <= 0) addHalf(recent, this.#live, this.size - this.#offset)
    return recent
  }

  #turnOver(period: number): void {
    if (period - this.period > 1) this.#retire(this.#offset)
    this.#offset = this.size - this.#offset
    this.#retire(this.#offset)
    this.period = period
  }

  #retire(offset: number): void {
    addHalf(this.#older, this.#live, offset)
    this.#live.fill(0, offset, offset + this.size)
  }
}

function addHalf(sums: Float64Array, live: Uint32Array, offset: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (live[offset + i] as number)
}
