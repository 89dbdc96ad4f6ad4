import type { Balancer, BalancerFactory } from '../core/balancer.ts'
import type { Call } from '../core/call.ts'
import type { Endpoint } from '../core/endpoint.ts'
import { readOptions } from '../core/options.ts'
import { Lots } from './chance/lots.ts'

/**
 * Draws an endpoint at random, each in proportion to its weight. Looks at nothing: for many clients that each send little, and for
 * comparisons.
 *
 * @throws MeshError INMESH_CONFIG for any option: there is none
 */
export function random(options?: Record<string, never>): BalancerFactory {
  readOptions('random', options, {}, {})
  return (runtime) => new Random(new Lots(runtime))
}

class Random implements Balancer {
  readonly #lots: Lots
  #endpoints: readonly Endpoint[] = []
  #table: AliasTable | undefined

  constructor(lots: Lots) {
    this.#lots = lots
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
    this.#table = endpoints.some((e) => e.weight !== endpoints[0]?.weight) ? aliasTable(endpoints) : undefined
  }

  pick(_call: Call, _now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const endpoints = this.#endpoints
    const n = endpoints.length
    if (n < 2) return endpoints[0]

    let i = this.#draw(n)
    // Where one endpoint holds nearly all the weight, a second draw finds it again: then any other will do.
    if (endpoints[i] === avoid) i = this.#draw(n)
    if (endpoints[i] === avoid) i = (i + 1 + this.#lots.below(n - 1)) % n
    return endpoints[i]
  }

  #draw(n: number): number {
    const i = this.#lots.below(n)
    const table = this.#table
    return table === undefined || this.#lots.chance(table.keep[i] as number) ? i : (table.alias[i] as number)
  }
}

interface AliasTable {
  /** How likely a column that was drawn keeps its own index. */
  readonly keep: Float64Array
  /** The index it gives otherwise. */
  readonly alias: Uint32Array
}

/** Draws by weight in constant time: Walker's alias method, built in linear time as by Vose (1991). */
function aliasTable(endpoints: readonly Endpoint[]): AliasTable {
  const n = endpoints.length
  const sum = endpoints.reduce((total, e) => total + e.weight, 0)
  const keep = new Float64Array(n)
  const alias = new Uint32Array(n)
  const light: number[] = []
  const heavy: number[] = []
  const sort = (i: number, kept: number) => {
    keep[i] = kept
    const pile = kept < 1 ? light : heavy
    pile.push(i)
  }
  endpoints.forEach((endpoint, i) => {
    alias[i] = i
    sort(i, (endpoint.weight / sum) * n)
  })
  for (let l = light.pop(), h = heavy.pop(); l !== undefined || h !== undefined; l = light.pop(), h = heavy.pop()) {
    // With nothing to pair it with, what is left is 1 but for rounding.
    if (l === undefined || h === undefined) {
      keep[(l ?? h) as number] = 1
      continue
    }
    alias[l] = h
    sort(h, (keep[h] as number) + (keep[l] as number) - 1)
  }
  return { keep, alias }
}
