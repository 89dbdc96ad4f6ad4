import type { Balancer, BalancerFactory } from '../core/balancer.ts'
import type { Call } from '../core/call.ts'
import type { Endpoint } from '../core/endpoint.ts'
import { readOptions } from '../core/options.ts'
import { Lots } from './chance/lots.ts'

/** Turns that the lightest endpoint gets in one round, if the round has room: how finely weights are kept. */
const TURNS = 10
/** Turns in one round, at most so many ... */
const MAX_TURNS = 65_536
/** ... or so many an endpoint, if that is more. */
const MIN_MEAN_TURNS = 4
/** Endpoints begin at different points of the round: multiples of the golden ratio keep apart from one another. */
const GOLDEN = (Math.sqrt(5) - 1) / 2
/** How many rounds there are to choose from. */
const PHASES = 1_000

/**
 * Gives each endpoint its turn, in proportion to its weight, the turns of the heavier spread over the round. Each client begins
 * somewhere else. Looks at nothing: one slow endpoint slows its whole share of the calls.
 *
 * Shares are exact over a round to about a tenth of the lightest weight, as long as the heaviest is not more than some thousand times the lightest.
 *
 * @throws MeshError INMESH_CONFIG for any option: there is none
 */
export function roundRobin(options?: Record<string, never>): BalancerFactory {
  readOptions('roundRobin', options, {}, {})
  return (runtime) => new RoundRobin(new Lots(runtime))
}

class RoundRobin implements Balancer {
  readonly #lots: Lots
  #endpoints: readonly Endpoint[] = []
  /** Whose turn it is, by index. */
  #round: Uint32Array = new Uint32Array(0)
  #next = -1

  constructor(lots: Lots) {
    this.#lots = lots
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
    this.#round = roundOf(endpoints, this.#lots.below(PHASES) / PHASES)
    if (this.#next < 0) this.#next = this.#lots.below(this.#round.length)
  }

  pick(_call: Call, _now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const endpoints = this.#endpoints
    const n = endpoints.length
    if (n < 2) return endpoints[0]

    let i = this.#turn()
    // The next turn may be the same endpoint's, if it is a heavy one: then any other will do.
    if (endpoints[i] === avoid) i = this.#turn()
    if (endpoints[i] === avoid) i = (i + 1 + this.#lots.below(n - 1)) % n
    return endpoints[i]
  }

  #turn(): number {
    if (this.#next >= this.#round.length) this.#next = 0
    return this.#round[this.#next++] as number
  }
}

/** One round of turns. Equal weights: the endpoints in their order. */
function roundOf(endpoints: readonly Endpoint[], phase: number): Uint32Array {
  const n = endpoints.length
  const lightest = endpoints.reduce((least, e) => Math.min(least, e.weight), Number.POSITIVE_INFINITY)
  if (endpoints.every((e) => e.weight === lightest)) return Uint32Array.from({ length: n }, (_, i) => i)

  const sum = endpoints.reduce((total, e) => total + e.weight, 0)
  const scale = Math.min(TURNS / lightest, Math.max(MAX_TURNS, n * MIN_MEAN_TURNS) / sum)
  const turns = endpoints.map((e) => Math.max(1, Math.round(e.weight * scale)))
  return inOrder(turns, phase)
}

/**
 * Spreads each endpoint's turns evenly over the round. A turn's time and its endpoint's index are packed into one number, as
 * numbers sort without a comparison function ten times faster.
 */
function inOrder(turns: readonly number[], phase: number): Uint32Array {
  const n = turns.length
  const keys = new Float64Array(turns.reduce((total, t) => total + t, 0))
  const steps = Math.floor(Number.MAX_SAFE_INTEGER / n) - 1
  let at = 0
  turns.forEach((count, i) => {
    const start = (phase + i * GOLDEN) % 1
    for (let k = 0; k < count; k++) keys[at++] = Math.floor(((k + start) / count) * steps) * n + i
  })
  keys.sort()
  const order = new Uint32Array(keys.length)
  for (let k = 0; k < keys.length; k++) order[k] = (keys[k] as number) % n
  return order
}
