import type { Balancer, BalancerFactory } from '../../core/balancer.ts'
import type { Call } from '../../core/call.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { MeshError } from '../../core/errors.ts'
import type { LoadMeter } from '../../core/load.ts'
import { aFunction, numberFrom, positiveMs, readOptions, shown } from '../../core/options.ts'
import { Lots } from '../chance/lots.ts'

export interface SlowStartOptions {
  /** From an endpoint's joining to its full share, in milliseconds above 0; default 10,000. */
  readonly windowMs?: number
  /** Share of its picks that an endpoint keeps at first, above 0 to 1; default 0.1. */
  readonly minShare?: number
}

/**
 * Lets endpoints that join a running service warm up: they get `minShare` of what `inner` would send them at first, and all of it after
 * `windowMs`; the rest goes to the next choice. Endpoints of a service's first set are not held back.
 *
 * Costs a comparison per pick; a second pick while it holds back. No timer, no update.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function slowStart(options: SlowStartOptions | undefined, inner: BalancerFactory): BalancerFactory {
  const read = readOptions<Required<SlowStartOptions>>(
    'slowStart',
    options,
    { windowMs: 10_000, minShare: 0.1 },
    { windowMs: positiveMs, minShare: numberFrom(0.001, 1) },
  )
  if (aFunction(inner) !== undefined) throw new MeshError('INMESH_CONFIG', `slowStart: expected a balancer, got ${shown(inner)}`)
  return (runtime) => new SlowStart(new Lots(runtime), read, inner(runtime))
}

class SlowStart implements Balancer {
  readonly #lots: Lots
  readonly #windowMs: number
  readonly #minShare: number
  readonly #inner: Balancer
  readonly meter?: () => LoadMeter

  constructor(lots: Lots, options: Required<SlowStartOptions>, inner: Balancer) {
    this.#lots = lots
    this.#windowMs = options.windowMs
    this.#minShare = options.minShare
    this.#inner = inner
    if (inner.meter !== undefined) this.meter = () => (inner.meter as () => LoadMeter)()
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#inner.update(endpoints)
  }

  pick(call: Call, now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const first = this.#inner.pick(call, now, avoid)
    if (first === undefined || this.#admits(first, now)) return first
    const second = this.#inner.pick(call, now, first)
    return second === undefined || second === avoid ? first : second
  }

  #admits(endpoint: Endpoint, now: number): boolean {
    const ramp = (now - endpoint.since) / this.#windowMs
    return ramp >= 1 || this.#lots.chance(ramp > this.#minShare ? ramp : this.#minShare)
  }
}
