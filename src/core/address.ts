import { isIP, isIPv4, isIPv6 } from 'node:net'
import { type Address, addressName } from './endpoint.ts'
import { aString, integerFrom, type OptionCheck, optionProblems, shown } from './options.ts'

/** The host and, when there is one, the port of an authority. */
export interface Authority {
  /** Lower case; IPv6 without brackets, in its canonical form. */
  readonly host: string
  readonly port: number | undefined
}

/**
 * Reads `voting`, `voting:8080`, `10.0.0.7:8080`, `[::1]:8080` or a bare `::1`.
 *
 * @returns undefined when it is none of these, or the port is not from 1 to 65535
 */
export function parseAuthority(text: string): Authority | undefined {
  if (isIPv6(text)) return { host: canonicalHost(text), port: undefined }
  const match = /^(?:\[([^[\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text)
  if (match === null) return undefined
  const [, bracketed, plain, digits] = match
  if (bracketed !== undefined && !isIPv6(bracketed)) return undefined
  const host = bracketed ?? (plain as string)
  const port = digits === undefined ? undefined : Number(digits)
  if (!isHost(host) || (port !== undefined && !isPort(port))) return undefined
  return { host: canonicalHost(host), port }
}

/** Reads `host:port`, as `addressName` writes it; undefined when it is anything else. */
export function parseAddress(text: string): Address | undefined {
  const authority = parseAuthority(text)
  return authority?.port === undefined ? undefined : { host: authority.host, port: authority.port }
}

/**
 * Reads an address as a person writes it: `'10.0.0.7:8080'`, or an object with the fields of Address.
 *
 * @param path where it stands, such as `staticEndpoints[1]`
 * @param problems gets a line for each thing that is wrong
 */
export function readAddress(path: string, value: unknown, problems: string[]): Address | undefined {
  if (typeof value === 'string') {
    const address = parseAddress(value)
    if (address === undefined) problems.push(`${path}: expected host:port, got ${shown(value)}`)
    return address
  }
  const found = addressProblems(path, value)
  if (found.length === 0) {
    const address = value as Address
    return { ...address, host: canonicalHost(address.host) }
  }
  problems.push(...found)
  return undefined
}

/** The first of each `host:port`, in the order given. */
export function distinctAddresses(addresses: readonly Address[]): readonly Address[] {
  const byName = new Map<string, Address>()
  for (const address of addresses) {
    const name = addressName(address)
    if (!byName.has(name)) byName.set(name, address)
  }
  return byName.size === addresses.length ? addresses : [...byName.values()]
}

/** Whether two sets hold the same addresses with the same properties, in the same order. */
export function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  return a === b || (a.length === b.length && a.every((address, i) => sameAddress(address, b[i] as Address)))
}

/** Orders by `host:port`, so that a source that shuffles its answers does not look as if it changed. */
export function byAddressName(a: Address, b: Address): number {
  const [nameA, nameB] = [addressName(a), addressName(b)]
  return nameA < nameB ? -1 : nameA > nameB ? 1 : 0
}

function sameAddress(a: Address, b: Address): boolean {
  if (a.host !== b.host || a.port !== b.port || a.weight !== b.weight || a.zone !== b.zone || a.identity !== b.identity)
    return false
  const [dataA, dataB] = [a.metadata ?? {}, b.metadata ?? {}]
  const keys = Object.keys(dataA)
  return keys.length === Object.keys(dataB).length && keys.every((key) => dataA[key] === dataB[key])
}

function addressProblems(path: string, value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return [`${path}: expected host:port or { host, port }, got ${shown(value)}`]
  }
  const missing = ['host', 'port'].filter((key) => (value as Record<string, unknown>)[key] === undefined)
  return [...missing.map((key) => `${path}.${key}: missing`), ...optionProblems(path, value, ADDRESS_CHECKS)]
}

const aHost: OptionCheck = (v) => (typeof v === 'string' && isHost(v) ? undefined : 'an IP address or a host name')
const aWeight: OptionCheck = (v) => (Number.isFinite(v) && (v as number) > 0 ? undefined : 'a number above 0')
const texts: OptionCheck = (v) =>
  typeof v === 'object' && v !== null && !Array.isArray(v) && Object.values(v).every((text) => typeof text === 'string')
    ? undefined
    : 'an object whose values are strings'

const ADDRESS_CHECKS: { readonly [K in keyof Address]-?: OptionCheck } = {
  host: aHost,
  port: integerFrom(1, 65_535),
  weight: aWeight,
  zone: aString,
  identity: aString,
  metadata: texts,
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535
}

/** An IP address, or a name of RFC 1123 labels; underscores are common in practice. What ends in a number must be an IPv4 address. */
function isHost(host: string): boolean {
  if (isIP(host) !== 0) return true
  if (host.length > 253) return false
  const labels = (host.endsWith('.') ? host.slice(0, -1) : host).split('.')
  if (/^\d+$/.test(labels.at(-1) as string)) return false
  return labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label))
}

function canonicalHost(host: string): string {
  if (isIPv4(host) || !isIPv6(host) || host.includes('%')) return host.toLowerCase()
  return new URL(`http://[${host}]`).hostname.slice(1, -1)
}
