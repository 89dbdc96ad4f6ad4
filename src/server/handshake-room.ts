import type { Clock } from '../core/clock.ts'

/**
 * How many handshakes are under way at once. Each holds some 50 KB and takes the process a millisecond: this many stop it for a quarter of a
 * second at worst, and hold 13 MB.
 */
const MAX_UNDER_WAY = 256
/** How many connections wait for their turn, unread; each holds some 12 KB with its socket and what it has sent. */
const MAX_WAITING = 10_000
/**
 * Who takes longer makes room when others wait, in milliseconds: a peer answers within a round trip, whoever stops on purpose never. As long as a
 * client of the mesh waits for a connection, unless it was told otherwise.
 */
const PATIENCE_MS = 1_000
/** When more wait than this, the newest goes first: who has waited for that long has mostly given up, or never meant it. */
const MAX_IN_ORDER = MAX_UNDER_WAY

/** A handshake that wants to be made. */
export interface Guest {
  /** Its turn has come. */
  begin(): void
  /** It took too long, and others wait. */
  makeRoom(): void
}

/**
 * Bounds the handshakes that are under way: 10,000 at once must neither stop the process nor fill its memory, and callers who begin and stop, thousands of
 * them, must not keep others out for longer than a second or two. First come, first served while few wait; the newest first when many do.
 */
export class HandshakeRoom {
  readonly #clock: Clock
  /** In the order in which they began. */
  readonly #underWay = new Map<Guest, number>()
  readonly #waiting = new Set<Guest>()
  /** Those who wait, the newest last, and some who no longer do. */
  #newest: Guest[] = []
  #isWatched = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Begins now or later.
   *
   * @returns false when too many wait already
   */
  enter(guest: Guest): boolean {
    if (this.#underWay.size < MAX_UNDER_WAY) {
      this.#begin(guest)
      return true
    }
    if (this.#waiting.size >= MAX_WAITING) return false
    this.#waiting.add(guest)
    if (this.#newest.length > 2 * MAX_WAITING) this.#newest = [...this.#waiting]
    else this.#newest.push(guest)
    if (!this.#isWatched) this.#watch()
    return true
  }

  /** It is over, or has given up waiting. */
  leave(guest: Guest): void {
    this.#waiting.delete(guest)
    if (!this.#underWay.delete(guest)) return
    const next = this.#next()
    if (next === undefined) return
    this.#waiting.delete(next)
    this.#begin(next)
  }

  #next(): Guest | undefined {
    if (this.#waiting.size <= MAX_IN_ORDER) {
      const [oldest] = this.#waiting
      if (oldest === undefined) this.#newest = []
      return oldest
    }
    let newest = this.#newest.pop()
    while (newest !== undefined && !this.#waiting.has(newest)) newest = this.#newest.pop()
    return newest
  }

  #begin(guest: Guest): void {
    this.#underWay.set(guest, this.#clock.now())
    guest.begin()
  }

  /** Looks at the slowest as long as somebody waits. */
  #watch(): void {
    const now = this.#clock.now()
    for (const [guest, since] of this.#underWay) {
      if (now - since < PATIENCE_MS) break
      guest.makeRoom()
    }
    const [oldest] = this.#underWay.values()
    this.#isWatched = this.#waiting.size > 0
    if (this.#isWatched) this.#clock.after((oldest ?? now) + PATIENCE_MS - now, () => this.#watch())
  }
}
