import type { Call } from './call.ts'
import type { Runtime } from './clock.ts'
import type { Endpoint } from './endpoint.ts'
import type { LoadMeter } from './load.ts'

/** Chooses one of a service's ready endpoints. One balancer a service. */
export interface Balancer {
  /** Makes the meter of an endpoint that joins; `unmetered` when absent. */
  meter?(): LoadMeter
  /**
   * The ready endpoints, whole, whenever they change. All that is expensive happens here. The array is the balancer's to keep and
   * is not changed afterwards; an endpoint that stays is the same object.
   */
  update(endpoints: readonly Endpoint[]): void
  /**
   * The endpoint for one attempt; undefined only when there is none. No promise, no allocation, no scan.
   *
   * @param avoid the endpoint of the attempt before; never returned while there is another
   */
  pick(call: Call, now: number, avoid: Endpoint | undefined): Endpoint | undefined
}

export type BalancerFactory = (runtime: Runtime) => Balancer
