import type { Balancer } from '../../src/core/balancer.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'

/** Each endpoint in its turn, from the first. */
export function turns(): Balancer {
  let ready: readonly Endpoint[] = []
  let turn = 0
  return {
    update(endpoints) {
      ready = endpoints
    },
    pick: () => ready[turn++ % ready.length],
  }
}
