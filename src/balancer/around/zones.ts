import type { Balancer, BalancerFactory } from '../../core/balancer.ts'
import type { Call } from '../../core/call.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { MeshError } from '../../core/errors.ts'
import type { LoadMeter } from '../../core/load.ts'
import { aFunction, aString, integerFrom, numberFrom, readOptions, shown } from '../../core/options.ts'
import { Lots } from '../chance/lots.ts'

export interface ZonesOptions {
  /** The zone this process runs in, as discovery names zones. */
  readonly zone: string
  /** Share of the zone's endpoints that must be ready for it to keep all calls, above 0 to 1; default 0.7. */
  readonly minShare?: number
  /** A service with fewer ready endpoints is not divided; 1 or more, default 6 (Envoy's `min_cluster_size`). */
  readonly minEndpoints?: number
}

/**
 * Keeps calls in our own zone while enough of it is well, which saves latency and the price of traffic between zones.
 *
 * Below `minShare` the zone keeps calls in proportion to what is left of it: with 0.7 and 35 % of its endpoints ready, half of
 * the calls stay and half go to all endpoints, ours included. So no zone is asked for more than 1 / minShare of its load when it
 * was whole.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function zones(options: ZonesOptions, inner: BalancerFactory): BalancerFactory {
  const read = readOptions<Required<ZonesOptions>>(
    'zones',
    options,
    { zone: '', minShare: 0.7, minEndpoints: 6 },
    { zone: aString, minShare: numberFrom(0.01, 1), minEndpoints: integerFrom(1) },
  )
  const missing = aString(read.zone)
  if (missing !== undefined) throw new MeshError('INMESH_CONFIG', `zones.zone: expected ${missing}, got ${shown(options?.zone)}`)
  if (aFunction(inner) !== undefined) throw new MeshError('INMESH_CONFIG', `zones: expected a balancer, got ${shown(inner)}`)
  return (runtime) => new Zones(new Lots(runtime), read, inner(runtime), inner(runtime))
}

class Zones implements Balancer {
  readonly #lots: Lots
  readonly #options: Required<ZonesOptions>
  readonly #all: Balancer
  readonly #ours: Balancer
  readonly meter?: () => LoadMeter
  /** The zone's endpoints that were ready once and have not left the service: those that are not ready now are unwell. */
  readonly #known = new Set<Endpoint>()
  #readyOurs = 0
  #ready = 0
  /** Share of the calls that stay in the zone. */
  #share = 0

  constructor(lots: Lots, options: Required<ZonesOptions>, all: Balancer, ours: Balancer) {
    this.#lots = lots
    this.#options = options
    this.#all = all
    this.#ours = ours
    if (all.meter !== undefined) this.meter = () => (all.meter as () => LoadMeter)()
  }

  update(endpoints: readonly Endpoint[]): void {
    const ours = endpoints.filter((e) => e.zone === this.#options.zone)
    for (const endpoint of ours) this.#know(endpoint)
    this.#readyOurs = ours.length
    this.#ready = endpoints.length
    this.#divide()
    this.#all.update(endpoints)
    this.#ours.update(ours)
  }

  pick(call: Call, now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    if (this.#share === 0) return this.#all.pick(call, now, avoid)
    if (this.#share < 1 && !this.#lots.chance(this.#share)) return this.#all.pick(call, now, avoid)
    const endpoint = this.#ours.pick(call, now, avoid)
    return endpoint === avoid && avoid !== undefined ? this.#all.pick(call, now, avoid) : endpoint
  }

  /** An endpoint leaves its service after the update that it is missing from; until then it only looks unwell. */
  #know(endpoint: Endpoint): void {
    if (this.#known.has(endpoint)) return
    this.#known.add(endpoint)
    endpoint.onLeave(() => {
      this.#known.delete(endpoint)
      this.#divide()
    })
  }

  #divide(): void {
    const { minShare, minEndpoints } = this.#options
    const alone = this.#readyOurs > 0 && this.#ready >= minEndpoints
    this.#share = alone ? Math.min(1, this.#readyOurs / this.#known.size / minShare) : 0
  }
}
