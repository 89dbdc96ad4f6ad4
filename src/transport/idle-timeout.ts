/** Two sightings agree when they differ by less than this share. */
const AGREEMENT = 0.2
/** Sightings closer together than this come from one event, such as a server that died, and count as one; in milliseconds. */
const APART_MS = 1_000
/** Sockets are not retired earlier than this, whatever was seen, in milliseconds: below it, keeping connections is pointless. */
const FLOOR_MS = 250
/** Retired at this share of the shorter of two sightings that agree. */
const MARGIN = 0.8
/** A new value below this share of the old one is worth new connections. */
const WORTHWHILE = 0.9

/**
 * Learns after how long a server closes an idle connection, so that ours retire earlier and no request is sent into a closing one (the
 * keep-alive race). A server that says `Keep-Alive: timeout=` is believed by undici already; this is for the others.
 *
 * A single sighting is not believed: a server that dies closes its connections at any age.
 */
export class IdleTimeout {
  #lastMs = Number.NaN
  #lastAt = Number.NEGATIVE_INFINITY
  #learntMs = Number.POSITIVE_INFINITY

  /** When a connection should retire, in milliseconds of idleness; Infinity while nothing is known. */
  get retireMs(): number {
    return this.#learntMs
  }

  /**
   * The server closed a connection that had been idle.
   *
   * @param idleMs how long it had been idle
   * @returns whether `retireMs` changed
   */
  saw(idleMs: number, now: number): boolean {
    if (now - this.#lastAt < APART_MS) return false
    const lastMs = this.#lastMs
    this.#lastMs = idleMs
    this.#lastAt = now
    // a server that died under load, or one that we could not outrun anyway
    if (idleMs < FLOOR_MS) return false
    // not so when there is no last one, which is NaN
    const agrees = Math.abs(idleMs - lastMs) <= AGREEMENT * Math.max(idleMs, lastMs)
    if (!agrees) return false
    const retire = Math.max(FLOOR_MS, Math.min(idleMs, lastMs) * MARGIN)
    if (retire > this.#learntMs * WORTHWHILE) return false
    this.#learntMs = retire
    return true
  }
}
