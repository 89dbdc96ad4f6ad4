import type { Attributes } from './family.ts'

/** Where a call goes by the words of the application, as OpenTelemetry's conventions have it. */
export interface Origin {
  /** A host name or an IP address, without brackets. */
  readonly address: string
  /** Undefined when none is named and the protocol has no default. */
  readonly port: number | undefined
}

/** @param defaultPort what an authority without a port means */
export function originOf(authority: string, defaultPort?: number): Origin {
  const [, bracketed, plain, port] = AUTHORITY.exec(authority) ?? []
  return { address: bracketed ?? plain ?? authority, port: port === undefined ? defaultPort : Number(port) }
}

export function originAttributes({ address, port }: Origin): Attributes {
  return { 'server.address': address, ...(port !== undefined && { 'server.port': port }) }
}

/** A bracketed IPv6 address or whatever has no colon, and its port. */
const AUTHORITY = /^(?:\[(.+)\]|([^:]+))(?::(\d+))?$/
