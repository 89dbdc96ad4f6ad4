import type { Router, RouteTable } from '../core/route.ts'

/** Services that may come to be without having been configured; further names are passed through, so that made-up hosts cost bounded memory. */
const MAX_IMPLICIT = 1_000

/** What a router is made of. */
export interface RouterParts {
  /** Names under which services were configured: `voting`, or `voting:8080` for that port alone (`voting:443` for https without a port). */
  readonly configured: ReadonlySet<string>
  /** Whether a host that was not configured is looked up all the same. */
  readonly implicit: (host: string) => boolean
  /** Makes the service and its routes, on the first call. */
  readonly make: (name: string) => RouteTable
}

/**
 * Knows which authorities are ours: first the configured name with its port, then without, then a host that the environment
 * may know. The same service answers however it is reached, so that one set of statistics and one budget serve all doors.
 */
export function router({ configured, implicit, make }: RouterParts): Router & { readonly tables: Iterable<RouteTable> } {
  const tables = new Map<string, RouteTable>()
  let implicitCount = 0
  const open = (name: string): RouteTable => {
    const table = tables.get(name) ?? make(name)
    tables.set(name, table)
    return table
  }
  return {
    get tables() {
      return tables.values()
    },
    table(authority, secure) {
      const host = hostOf(authority)
      const port = authority.slice(host.length + 1) || (secure ? '443' : '80')
      if (configured.has(`${host}:${port}`)) return open(`${host}:${port}`)
      if (configured.has(host)) return open(host)
      const name = port === '80' ? host : `${host}:${port}`
      if (tables.has(name)) return tables.get(name)
      if (implicitCount >= MAX_IMPLICIT || !implicit(host)) return undefined
      implicitCount++
      return open(name)
    },
  }
}

function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':')
  return colon === -1 || authority.endsWith(']') ? authority : authority.slice(0, colon)
}

/** Whether a host is a plain name of one label, as services are called; `localhost`, addresses and dotted names are not ours. */
export function isServiceName(host: string): boolean {
  return /^[a-z][a-z0-9_-]*$/i.test(host) && host !== 'localhost'
}
