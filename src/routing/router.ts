import type { Router, RouteTable } from '../core/route.ts'

/** Services that may be there at once without having been configured, so that made-up hosts cost bounded memory. */
const MAX_IMPLICIT = 1_000

/** What a router is made of. */
export interface RouterParts {
  /** Names under which services were configured: `voting`, or `voting:8080` for that port alone (`voting:443` for https without a port). */
  readonly configured: ReadonlySet<string>
  /** Whether a host that was not configured is looked up all the same. */
  readonly implicit: (host: string) => boolean
  /** Makes the service and its routes, on the first call. */
  readonly make: (name: string) => RouteTable
  /** Ends a service that was not configured and made room for another: the router will not name it again. */
  readonly forget?: (table: RouteTable) => void
}

/**
 * Knows which authorities are ours: first the configured name with its port, then without, then a host that the environment
 * may know. The same service answers however it is reached, so that one set of statistics and one budget serve all doors.
 */
export function router({ configured, implicit, make, forget }: RouterParts): Router & { readonly tables: Iterable<RouteTable> } {
  const opened = new Map<string, RouteTable>()
  const guesses = new Guesses(make, forget)
  const open = (name: string): RouteTable => {
    const table = opened.get(name) ?? make(name)
    opened.set(name, table)
    return table
  }
  return {
    get tables() {
      return [...opened.values(), ...guesses.tables]
    },
    table(authority, secure) {
      const host = hostOf(authority)
      const port = authority.slice(host.length + 1) || (secure ? '443' : '80')
      if (configured.has(`${host}:${port}`)) return open(`${host}:${port}`)
      if (configured.has(host)) return open(host)
      const name = port === '80' ? host : `${host}:${port}`
      return guesses.get(name) ?? (implicit(host) ? guesses.open(name) : undefined)
    },
  }
}

/**
 * The services that were not configured. When there is no room for one more, the one that was opened first of those without an endpoint makes
 * room, best one for which no call waits; only while every one of them has endpoints or calls in flight are further names passed through.
 */
class Guesses {
  readonly #make: RouterParts['make']
  readonly #forget: RouterParts['forget']
  /** In the order in which they were opened. */
  readonly #tables = new Map<string, RouteTable>()

  constructor(make: RouterParts['make'], forget: RouterParts['forget']) {
    this.#make = make
    this.#forget = forget
  }

  get tables(): Iterable<RouteTable> {
    return this.#tables.values()
  }

  get(name: string): RouteTable | undefined {
    return this.#tables.get(name)
  }

  /** @returns undefined when there is no room */
  open(name: string): RouteTable | undefined {
    const least = this.#tables.size < MAX_IMPLICIT ? undefined : this.#leastNeeded()
    if (least === undefined && this.#tables.size >= MAX_IMPLICIT) return undefined
    const table = this.#make(name)
    this.#tables.set(name, table)
    if (least !== undefined) this.#end(least)
    return table
  }

  /** Comes last: the calls that wait for it are told, and may at once be made again. */
  #end(name: string): void {
    const table = this.#tables.get(name) as RouteTable
    this.#tables.delete(name)
    table.forgotten = true
    this.#forget?.(table)
  }

  #leastNeeded(): string | undefined {
    let awaited: string | undefined
    for (const [name, { service }] of this.#tables) {
      if (service.endpoints.length > 0 || service.inFlight > 0) continue
      if (service.waiting === 0) return name
      awaited ??= name
    }
    return awaited
  }
}

function hostOf(authority: string): string {
  const colon = authority.lastIndexOf(':')
  return colon === -1 || authority.endsWith(']') ? authority : authority.slice(0, colon)
}
