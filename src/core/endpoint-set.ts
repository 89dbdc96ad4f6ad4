import { type Address, addressName, type Endpoint } from './endpoint.ts'

/**
 * The endpoints of a service, in the order in which discovery names them. An update of 10,000 addresses that changes one costs about half a
 * millisecond: most are recognised where they stand, without building and looking up a name.
 */
export class EndpointSet {
  /** Replaced by an update that changes something, never changed itself. */
  list: readonly Endpoint[] = []
  /** How many updates there were. */
  updates = 0
  readonly #byName = new Map<string, Endpoint>()

  get(name: string): Endpoint | undefined {
    return this.#byName.get(name)
  }

  /**
   * Takes the whole set anew. Of several addresses with the same host and port, the first counts.
   *
   * @param join makes the endpoint of an address that is new
   * @returns the endpoints that are not in it any more, or undefined when nothing changed
   */
  update(addresses: readonly Address[], join: (address: Address) => Endpoint): readonly Endpoint[] | undefined {
    const before = this.list
    const update = ++this.updates
    const after: Endpoint[] = []
    const replaced: Endpoint[] = []
    let next = 0
    for (const address of addresses) {
      // mostly it is the one that stands next, or that one has left
      if (!isAt(before[next], address) && isAt(before[next + 1], address)) next++
      const known = isAt(before[next], address) ? before[next++] : this.#byName.get(addressName(address))
      if (known?.namedIn === update) continue
      const endpoint = known === undefined ? join(address) : atAddress(known, address)
      if (endpoint !== known) this.#byName.set(endpoint.name, endpoint)
      if (known !== undefined && endpoint !== known) replaced.push(known)
      if (known !== undefined) known.namedIn = update
      endpoint.namedIn = update
      after.push(endpoint)
    }
    if (update > 1 && sameEndpoints(before, after)) return undefined
    this.list = after
    const gone = before.filter((endpoint) => endpoint.namedIn !== update)
    for (const endpoint of gone) this.#byName.delete(endpoint.name)
    return replaced.length === 0 ? gone : [...gone, ...replaced]
  }
}

/** Whether two lists hold the same endpoints in the same order. */
export function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** From a random one on, all of them once. */
export function inTurn(endpoints: readonly Endpoint[], chance: number): Endpoint[] {
  const start = Math.floor(chance * endpoints.length)
  return [...endpoints.slice(start), ...endpoints.slice(0, start)]
}

function isAt(endpoint: Endpoint | undefined, { host, port }: Address): boolean {
  return endpoint !== undefined && endpoint.address.port === port && endpoint.address.host === host
}

/** Doors and balancers build on an endpoint's traits: when they change, another object takes its place. */
function atAddress(known: Endpoint, address: Address): Endpoint {
  if (!sameTraits(known.address, address)) return known.movedTo(address)
  known.address = address
  return known
}

function sameTraits(a: Address, b: Address): boolean {
  return (a.weight ?? 1) === (b.weight ?? 1) && a.zone === b.zone && a.identity === b.identity
}
