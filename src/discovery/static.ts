import { readAddress } from '../core/address.ts'
import type { DiscoveryFactory } from '../core/discovery.ts'
import { type Address, addressName } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { shown } from '../core/options.ts'
import { Subscription } from './source/subscription.ts'

/**
 * Addresses that are known and never change: `staticEndpoints(['10.0.0.7:8080', { host: '::1', port: 8080, zone: 'a' }])`. The
 * same for every service it is asked for. An empty list is a service without endpoints.
 *
 * @throws MeshError INMESH_CONFIG for anything that is no address, or is there twice
 */
export function staticEndpoints(list: readonly (string | Address)[]): DiscoveryFactory {
  const addresses = readList(list)
  return () => ({
    watch(_service, onUpdate) {
      const subscription = new Subscription(onUpdate)
      subscription.addresses(addresses)
      return () => subscription.stop()
    },
  })
}

function readList(list: unknown): readonly Address[] {
  if (!Array.isArray(list))
    throw new MeshError('INMESH_CONFIG', `staticEndpoints: expected an array of addresses, got ${shown(list)}`)
  const problems: string[] = []
  const seen = new Map<string, number>()
  const addresses: Address[] = []
  for (const [index, value] of list.entries()) {
    const path = `staticEndpoints[${index}]`
    const address = readAddress(path, value, problems)
    if (address === undefined) continue
    const name = addressName(address)
    if (seen.has(name)) problems.push(`${path}: ${name} is there already, as staticEndpoints[${seen.get(name)}]`)
    seen.set(name, index)
    addresses.push(address)
  }
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return addresses
}
