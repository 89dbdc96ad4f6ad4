/** A series that can be given up when nobody has used it for long. */
export interface Expirable {
  /** Something is under way in it. */
  readonly busy: boolean
  /** The period of its last use. */
  readonly period: number
  /** It was given up: whoever holds it asks for a new one. */
  expired: boolean
}

/** Series by name, at most `limit` of them: what exceeds it is counted together in one more. */
export class BoundedSeries<K, S extends Expirable> {
  /** Where everything is counted that found no room; undefined while there was room. */
  overflow: S | undefined
  readonly #limit: number
  readonly #make: (key: K | undefined, period: number) => S
  readonly #reserved: readonly K[]
  readonly #series = new Map<K, S>()
  /** The name that was asked for last: as a rule it is asked for again. */
  #lastKey: K | undefined = undefined
  #last: S | undefined = undefined

  /**
   * @param make gets undefined for the series of what found no room
   * @param reserved names that find no room: how the series of what found none is called where it is shown
   */
  constructor(limit: number, make: (key: K | undefined, period: number) => S, reserved: readonly K[] = []) {
    this.#limit = limit
    this.#make = make
    this.#reserved = reserved
  }

  /** The series of a name, made when there is none. */
  of(key: K, period: number): S {
    if (this.#last !== undefined && key === this.#lastKey) return this.#last
    const known = this.#series.get(key)
    if (known !== undefined) return this.#remember(key, known)
    if (this.#series.size >= this.#limit || this.#reserved.includes(key)) return this.rest(period)
    const made = this.#make(key, period)
    this.#series.set(key, made)
    return this.#remember(key, made)
  }

  #remember(key: K, series: S): S {
    this.#lastKey = key
    this.#last = series
    return series
  }

  /** The series of what found no room. */
  rest(period: number): S {
    this.overflow ??= this.#make(undefined, period)
    return this.overflow
  }

  get(key: K): S | undefined {
    return this.#series.get(key)
  }

  /** How many names have a series. */
  get size(): number {
    return this.#series.size
  }

  /** Every series, the one of what found no room last. */
  *values(): Iterable<S> {
    yield* this.#series.values()
    if (this.overflow !== undefined) yield this.overflow
  }

  /** Gives up what is not busy and was last used in `period` or before. */
  expire(period: number, onExpired?: (series: S) => void): void {
    for (const [key, series] of this.#series) {
      if (series.busy || series.period > period) continue
      series.expired = true
      this.#series.delete(key)
      this.#last = undefined
      onExpired?.(series)
    }
  }

  /**
   * As `expire`, for series that are looked up again at the end of what they count: gives up nothing while something is under way that
   * found no room, or it would end in a series where it didn't begin.
   */
  expireSettled(period: number, onExpired?: (series: S) => void): void {
    if (this.overflow?.busy !== true) this.expire(period, onExpired)
  }
}
