import type { Balancer, BalancerFactory } from '../core/balancer.ts'
import type { Call } from '../core/call.ts'
import type { Runtime } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { LoadMeter } from '../core/load.ts'
import { aFunction, readOptions } from '../core/options.ts'
import type { Verdict } from '../core/verdict.ts'
import { Lots } from './chance/lots.ts'
import { peakEwma } from './load/peak-ewma.ts'
import { stayAwayMs } from './load/stay-away.ts'

export interface P2cOptions {
  /** What is compared; default `peakEwma()`. */
  readonly load?: (runtime: Runtime) => () => LoadMeter
}

/** An endpoint not heard from for so long is worth a probe, in milliseconds. */
const STALE_MS = 1_000
/** ... and for so many times what a probe is expected to cost, so that probing takes a tenth of the time at most. */
const STALE_COSTS = 10
/** Picks from one probe to the next. */
const PROBE_EVERY = 10

/**
 * Draws two endpoints at random and takes the one that costs less (power of two choices, Mitzenmacher 2001). Two are enough to
 * keep away from the slow and the busy, and no client herds with the others onto the one that looks best.
 *
 * Cost is divided by the endpoint's weight: one of weight 2 is content with twice the load. Under load traffic is shared by
 * weight; a quiet service sends nearly everything to the heavier. For exact shares take `roundRobin` or `random`.
 *
 * An endpoint that would lose, but has nothing to do and was not heard from for 1 s (or for ten times its cost, if that is longer, or until
 * its `Retry-After` is over), is probed with one call. At most one pick in ten is such a probe.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function p2c(options?: P2cOptions): BalancerFactory {
  const { load } = readOptions<Required<P2cOptions>>('p2c', options, { load: peakEwma() }, { load: aFunction })
  return (runtime) => new P2c(new Lots(runtime), load(runtime))
}

class P2c implements Balancer {
  readonly #lots: Lots
  readonly #newMeter: () => LoadMeter
  #seats: readonly Seat[] = []
  /** Counts to PROBE_EVERY and stays there. */
  #sinceProbe = 0

  constructor(lots: Lots, newMeter: () => LoadMeter) {
    this.#lots = lots
    this.#newMeter = newMeter
  }

  meter(): LoadMeter {
    return new Seat(this.#newMeter(), Number.NEGATIVE_INFINITY)
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#seats = endpoints.map(seatOf)
  }

  pick(_call: Call, now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const seats = this.#seats
    const n = seats.length
    if (n < 2) return seats[0]?.endpoint

    const i = this.#lots.below(n)
    const other = this.#lots.below(n - 1)
    const j = other < i ? other : other + 1
    let first = seats[i] as Seat
    let second = seats[j] as Seat
    if (avoid !== undefined && (first.endpoint === avoid || second.endpoint === avoid)) {
      const kept = first.endpoint === avoid ? second : first
      if (n === 2) return kept.endpoint
      first = kept
      second = seats[this.#third(n, i, j)] as Seat
    }
    return this.#cheaper(first, second, now)
  }

  #cheaper(first: Seat, second: Seat, now: number): Endpoint | undefined {
    const firstCost = first.meter.cost(now) / first.weight
    const secondCost = second.meter.cost(now) / second.weight
    const firstWins = firstCost <= secondCost
    if (this.#sinceProbe < PROBE_EVERY) {
      this.#sinceProbe++
      return firstWins ? first.endpoint : second.endpoint
    }
    const loser = firstWins ? second : first
    if (!loser.stale(now, firstWins ? secondCost : firstCost)) return firstWins ? first.endpoint : second.endpoint
    this.#sinceProbe = 1
    return loser.endpoint
  }

  /** A random index other than i and j. */
  #third(n: number, i: number, j: number): number {
    const index = this.#lots.below(n - 2)
    const low = i < j ? i : j
    if (index < low) return index
    return index + 1 < (i < j ? j : i) ? index + 1 : index + 2
  }
}

/**
 * An endpoint's place in the draw. It is the endpoint's meter as well, around the one that measures: this is how the balancer
 * hears of answers, and what it knows of them stays with the endpoint over any number of updates.
 */
class Seat implements LoadMeter {
  readonly meter: LoadMeter
  endpoint: Endpoint | undefined
  weight = 1
  #heardAt: number
  #inFlight = 0

  constructor(meter: LoadMeter, heardAt: number) {
    this.meter = meter
    this.#heardAt = heardAt
  }

  stale(now: number, cost: number): boolean {
    if (this.#inFlight > 0) return false
    const silentMs = now - this.#heardAt
    return silentMs >= STALE_MS && silentMs >= cost * STALE_COSTS
  }

  cost(now: number): number {
    return this.meter.cost(now)
  }

  start(now: number): void {
    this.#inFlight++
    this.meter.start(now)
  }

  sample(now: number, elapsedMs: number, verdict: Verdict): void {
    this.#heardAt = now + stayAwayMs(verdict)
    this.meter.sample(now, elapsedMs, verdict)
  }

  end(now: number): void {
    if (this.#inFlight > 0) this.#inFlight--
    this.meter.end(now)
  }

  report(now: number, utilization: number): void {
    this.meter.report?.(now, utilization)
  }
}

/** The endpoint's seat; one whose meter was made elsewhere is never probed, as its answers are not heard of. */
function seatOf(endpoint: Endpoint): Seat {
  const { meter } = endpoint
  const seat = meter instanceof Seat ? meter : new Seat(meter, Number.POSITIVE_INFINITY)
  seat.endpoint = endpoint
  seat.weight = endpoint.weight
  return seat
}
