import type { Balancer, BalancerFactory } from '../core/balancer.ts'
import type { Call } from '../core/call.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { LoadMeter } from '../core/load.ts'
import { integerFrom, readOptions } from '../core/options.ts'
import { Lots } from './chance/lots.ts'
import { inFlight } from './load/in-flight.ts'

export interface LeastRequestOptions {
  /** How many endpoints are drawn, 2 to 10; default 2. */
  readonly choices?: number
}

/**
 * Draws `choices` endpoints at random and takes the one with the fewest calls in flight, as Envoy's and gRPC's policies of this name do.
 * Blind to latency until calls pile up: `p2c` sees a slow endpoint sooner.
 *
 * Calls in flight are divided by the endpoint's weight, as in `p2c`. More choices find an idle endpoint more often, and herd
 * more when many clients look for it at once.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function leastRequest(options?: LeastRequestOptions): BalancerFactory {
  const { choices } = readOptions<Required<LeastRequestOptions>>(
    'leastRequest',
    options,
    { choices: 2 },
    { choices: integerFrom(2, 10) },
  )
  return (runtime) => new LeastRequest(new Lots(runtime), inFlight()(runtime), choices)
}

class LeastRequest implements Balancer {
  readonly #lots: Lots
  readonly #newMeter: () => LoadMeter
  readonly #choices: number
  #endpoints: readonly Endpoint[] = []

  constructor(lots: Lots, newMeter: () => LoadMeter, choices: number) {
    this.#lots = lots
    this.#newMeter = newMeter
    this.#choices = choices
  }

  meter(): LoadMeter {
    return this.#newMeter()
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
  }

  /** Draws lie at random distances from one another on a circle, so that no endpoint is drawn twice in a row. */
  pick(_call: Call, now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const endpoints = this.#endpoints
    const n = endpoints.length
    if (n < 2) return endpoints[0]

    let i = this.#lots.below(n)
    if (endpoints[i] === avoid) i = this.#another(i, n)
    let best = endpoints[i] as Endpoint
    let bestCost = best.meter.cost(now) / best.weight
    for (let drawn = 1; drawn < this.#choices; drawn++) {
      i = this.#another(i, n)
      if (endpoints[i] === avoid) i = this.#another(i, n)
      const next = endpoints[i] as Endpoint
      const cost = next.meter.cost(now) / next.weight
      if (cost < bestCost) {
        best = next
        bestCost = cost
      }
    }
    return best
  }

  /** A random index other than i. */
  #another(i: number, n: number): number {
    const index = i + 1 + this.#lots.below(n - 1)
    return index < n ? index : index - n
  }
}
