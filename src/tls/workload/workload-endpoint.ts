import { isIP } from 'node:net'

/** Where the Workload API is served. */
export interface WorkloadEndpoint {
  /** As it was given, for messages. */
  readonly uri: string
  /** What `net.connect` takes. */
  readonly connect: { readonly path: string } | { readonly host: string; readonly port: number }
}

/** What a wrong one should have been, as the end of `expected ...`. */
export const EXPECTED_ENDPOINT = 'unix:///absolute/path or tcp://<ip address>:<port>'

/**
 * Reads the place of a SPIFFE Workload Endpoint, strictly by section 4 of its specification: a Unix socket by its absolute path without an
 * authority, or an IP address (never a name) with its port; nothing else may be set.
 *
 * @returns undefined when it is anything else
 */
export function readWorkloadEndpoint(uri: string): WorkloadEndpoint | undefined {
  const path = /^unix:(?:\/\/)?(\/(?!\/)[^?#\0]+)$/i.exec(uri)?.[1]
  if (path !== undefined) {
    const decoded = percentDecoded(path)
    return decoded === undefined ? undefined : { uri, connect: { path: decoded } }
  }
  const [, bracketed, plain, digits] = /^tcp:\/\/(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/i.exec(uri) ?? []
  const host = bracketed ?? plain ?? ''
  const port = Number(digits)
  if (isIP(host) !== (bracketed === undefined ? 4 : 6) || !(port >= 1 && port <= 65_535)) return undefined
  return { uri, connect: { host, port } }
}

function percentDecoded(path: string): string | undefined {
  try {
    const decoded = decodeURIComponent(path)
    return decoded.includes('\0') ? undefined : decoded
  } catch {
    return undefined
  }
}
