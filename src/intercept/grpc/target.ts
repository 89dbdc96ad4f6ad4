import { isIPv4, isIPv6 } from 'node:net'
import { parseAuthority } from '../../core/address.ts'
import { type Address, addressName } from '../../core/endpoint.ts'

/** What a grpc-js target such as `voting:8080` or `dns:///voting:8080` names. */
export interface Target {
  /** As grpc-js shows it: with its scheme. */
  readonly uri: string
  /** Host and, if it was written, port, as written: what `:authority` says. */
  readonly authority: string
  /** The host alone, without brackets, lower case: what a certificate must name. */
  readonly host: string
}

/**
 * Reads a target whose scheme leaves the finding of addresses to us: none, or `dns:`.
 *
 * @returns undefined for another scheme (`unix:`, `ipv4:`, `xds:`), a DNS server of its own, or what is no authority
 */
export function parseTarget(target: string): Target | undefined {
  const [, scheme, path = ''] = /^(dns:(?:\/\/\/)?)?(.*)$/s.exec(target) ?? []
  const authority = parseAuthority(path)
  if (authority === undefined) return undefined
  return { uri: scheme === undefined ? `dns:${path}` : target, authority: path, host: authority.host }
}

/** The target that makes grpc-js dial this address and no other. */
export function addressTarget(address: Address): string {
  const name = addressName(address)
  if (isIPv4(address.host)) return `ipv4:${name}`
  return isIPv6(address.host) ? `ipv6:${name}` : `dns:///${name}`
}
