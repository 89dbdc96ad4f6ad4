import { BlockList, isIP, isIPv4 } from 'node:net'
import { MeshError } from '../core/errors.ts'
import { shown } from '../core/options.ts'

/** An entry of `X-Forwarded-For` further left than this is not looked at: the chain of real proxies is short. */
const MAX_HOPS = 16

/**
 * Whether an address belongs to a proxy that we trust.
 *
 * @param networks addresses and networks: `10.0.0.7`, `10.0.0.0/8`, `fd00::/8`
 * @throws MeshError INMESH_CONFIG for anything else
 */
export function trustedProxies(path: string, networks: readonly string[]): (address: string) => boolean {
  if (!Array.isArray(networks)) throw new MeshError('INMESH_CONFIG', `${path}: expected a list, got ${shown(networks)}`)
  if (networks.length === 0) return () => false
  const list = new BlockList()
  const problems = networks.flatMap((network, i) =>
    addNetwork(list, network)
      ? []
      : [`${path}[${i}]: expected an IP address or a network such as 10.0.0.0/8, got ${shown(network)}`],
  )
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return (address) => isAddressIn(list, address)
}

/**
 * The client's address: the peer's own, unless that is a proxy we trust; then what that says, and so on from right to left, until an address
 * that is not trusted. What is no address ends the chain.
 *
 * @param forwardedFor the header `X-Forwarded-For`
 */
export function clientAddress(peer: string, forwardedFor: string | undefined, trusts: (address: string) => boolean): string {
  let client = peer
  let rest = forwardedFor ?? ''
  for (let hops = 0; hops < MAX_HOPS && rest !== '' && trusts(client); hops++) {
    const comma = rest.lastIndexOf(',')
    const said = addressIn(rest.slice(comma + 1))
    if (said === undefined) return client
    client = said
    rest = comma < 0 ? '' : rest.slice(0, comma)
  }
  return client
}

/** `::ffff:10.0.0.7` is what a socket that takes both families says of an IPv4 address. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address
}

/** Some proxies add a port: `10.0.0.7:1234`, `[::1]:1234`. */
function addressIn(text: string): string | undefined {
  const trimmed = text.trim()
  if (trimmed.length > 60) return undefined
  const bare = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(trimmed)?.[1] ?? trimmed.replace(/^([\d.]+):\d{1,5}$/, '$1')
  return isIP(bare) === 0 ? undefined : plainAddress(bare)
}

/** False when it is neither an address nor a network: `10.0.0.7`, `10.0.0.0/8`. */
export function addNetwork(list: BlockList, network: unknown): boolean {
  const [address = '', bits, more] = typeof network === 'string' ? network.split('/') : []
  const most = isIPv4(address) ? 32 : 128
  const right =
    isIP(address) !== 0 && more === undefined && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most))
  if (!right) return false
  if (bits === undefined) list.addAddress(address, family(address))
  else list.addSubnet(address, Number(bits), family(address))
  return true
}

/** What is no address is in no list. */
export function isAddressIn(list: BlockList, address: string): boolean {
  return isIP(address) !== 0 && list.check(address, family(address))
}

function family(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6'
}
