import type { BalancerFactory } from '../../src/core/balancer.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'

/** Sends everything to the endpoint whose name sorts first; the next one stands by. */
export function primary(): BalancerFactory {
  return () => {
    let first: Endpoint | undefined
    let standby: Endpoint | undefined
    return {
      update(endpoints) {
        ;[first, standby] = [...endpoints].sort((a, b) => (a.name < b.name ? -1 : 1))
      },
      pick(_call, _now, avoid) {
        return first === avoid && standby !== undefined ? standby : first
      },
    }
  }
}
