import { BlockList } from 'node:net'
import { optionProblems, shown } from '../../core/options.ts'
import { addNetwork, isAddressIn } from '../trusted-proxies.ts'

/** A network, without parts of it. As Linkerd's NetworkAuthentication has it. */
export interface NetworkOptions {
  /** `10.0.0.0/8`, `fd00::/8`, or one address. */
  readonly cidr: string
  /** Parts of it that do not count. Default: none. */
  readonly except?: readonly string[]
}

/** Linkerd's default of `clusterNetworks`, and the loopback: the private networks of RFC 1918, 4193 and 6598. */
export const CLUSTER_NETWORKS: readonly string[] = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '::1',
  'fc00::/7',
]

/**
 * Whether an address is in any of the networks. What is no address is in none, so a connection by a Unix socket is not, either. IPv4 addresses that are written
 * as IPv6 are taken for what they are. The answer for the latest address is kept: 0.13 us are saved on connections that stay.
 */
export function networksTest(networks: readonly NetworkOptions[]): (address: string) => boolean {
  const tests = networks.map(networkTest)
  let latest = ''
  let answer = false
  return (address) => {
    if (address !== latest) {
      answer = tests.some((test) => test(address))
      latest = address
    }
    return answer
  }
}

/** What is wrong with a network; empty when all is well. */
export function networkProblems(path: string, network: unknown): string[] {
  const problems = optionProblems(path, network, { cidr: aNetwork, except: () => undefined })
  const { cidr, except } = (network ?? {}) as Partial<NetworkOptions>
  if (cidr === undefined) problems.push(`${path}.cidr: missing`)
  return except === undefined ? problems : [...problems, ...cidrProblems(`${path}.except`, except)]
}

/** The same for a list of addresses and networks. */
export function cidrProblems(path: string, list: unknown): string[] {
  if (!Array.isArray(list)) return [`${path}: expected a list, got ${shown(list)}`]
  return Array.from(list, (cidr, i) => {
    const expected = aNetwork(cidr)
    return expected === undefined ? '' : `${path}[${i}]: expected ${expected}, got ${shown(cidr)}`
  }).filter((problem) => problem !== '')
}

function networkTest({ cidr, except = [] }: NetworkOptions): (address: string) => boolean {
  const inside = listOf([cidr])
  const outside = listOf(except)
  return (address) => isAddressIn(inside, address) && !isAddressIn(outside, address)
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList()
  for (const network of networks) addNetwork(list, network)
  return list
}

function aNetwork(value: unknown): string | undefined {
  return addNetwork(new BlockList(), value) ? undefined : 'an IP address or a network such as 10.0.0.0/8'
}
