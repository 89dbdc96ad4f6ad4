/** No report counts for more than this: from 90 % on all servers are the same to us, full. */
const MAX_STRETCH = 10
/** Servers that differ less than this from what is usual count as equal. */
const TOLERANCE = 1.5
/** Time constant over which an endpoint's reports are smoothed, in milliseconds. */
const SMOOTHING_MS = 1_000
/** A report counts less by the second and nothing after this time, in milliseconds. */
const FORGOTTEN_MS = 10_000
/** Reports that the service's mean remembers. */
const MEMORY = 64

/**
 * What an endpoint's server says of its load, as a factor of the endpoint's cost. Below 1 it is less busy than is usual in its
 * service, above 1 busier.
 *
 * Waiting stretches a call by 1/(1-u) where a share u of the server's time is taken (M/M/1; Kleinrock 1975); up to 10 is believed. That is compared with
 * the mean over the service's reports. So an endpoint that has not reported yet, or not for 10 s, counts as a usual one, as in gRFC A58: were it
 * taken for idle, a busy service would flood it, and whoever keeps silent would be sent everything.
 *
 * All clients of a server hear the same report and act on it until the next, 250 ms later: were each small difference obeyed, they would run
 * together to whoever is ahead by chance. Hence the smoothing, and the tolerance.
 */
export class ReportedLoad {
  readonly #usual: UsualStretch
  #utilization = 0
  #at = Number.NEGATIVE_INFINITY
  /** When it is forgotten. */
  #until = Number.NEGATIVE_INFINITY
  /** What the factor is above 1, or below, for each millisecond until then. */
  #slope = 0

  constructor(usual: UsualStretch) {
    this.#usual = usual
  }

  /** @param utilization as of `LoadMeter.report` */
  report(now: number, utilization: number): void {
    const kept = Math.min(1, Math.exp((this.#at - now) / SMOOTHING_MS))
    this.#utilization = this.#utilization * kept + Math.min(1, utilization) * (1 - kept)
    this.#at = now
    const stretch = Math.min(MAX_STRETCH, 1 / (1 - this.#utilization))
    this.#until = now + FORGOTTEN_MS
    this.#slope = (tolerated(stretch / this.#usual.record(stretch)) - 1) / FORGOTTEN_MS
  }

  /** From TOLERANCE / MAX_STRETCH, 0.15, to MAX_STRETCH / TOLERANCE, 6.7; 1 when there is nothing to say. */
  factor(now: number): number {
    const leftMs = this.#until - now
    return leftMs > 0 ? 1 + this.#slope * leftMs : 1
  }
}

/** The mean stretch over a service's reports. One a service. */
export class UsualStretch {
  #mean = 0
  #count = 0

  /** The mean with this one. */
  record(stretch: number): number {
    if (this.#count < MEMORY) this.#count++
    this.#mean += (stretch - this.#mean) / this.#count
    return this.#mean
  }
}

function tolerated(ratio: number): number {
  if (ratio > TOLERANCE) return ratio / TOLERANCE
  return ratio < 1 / TOLERANCE ? ratio * TOLERANCE : 1
}
