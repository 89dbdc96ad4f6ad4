import type { Balancer, BalancerFactory } from '../core/balancer.ts'
import type { Call } from '../core/call.ts'
import type { Endpoint } from '../core/endpoint.ts'
import type { LoadMeter } from '../core/load.ts'
import { numberFrom, type OptionCheck, readOptions } from '../core/options.ts'
import { Lots } from './chance/lots.ts'

/** What of a call stays with one endpoint: its path without the query, a header by its lower-case name, or what a function says. */
export type RingHashKey = 'path' | { readonly header: string } | ((call: Call) => string | undefined)

export interface RingHashOptions {
  /** Calls with the same key go to the same endpoint; those without one, anywhere. Default `path`. */
  readonly key?: RingHashKey
  /** How many times the mean load an endpoint may carry before its calls move on, 1.05 to 100; default 1.25. */
  readonly loadFactor?: number
}

/** Points on the ring for the lightest endpoints, at the least, as long as the ring has room. */
const MIN_POINTS = 128
/** Points on the ring, all endpoints together; endpoints beyond get one point each. */
const MAX_POINTS = 262_144
/** Points that a pick looks at, at most. */
const MAX_STEPS = 64
/** Calls in flight that are never too many: the mean of one quiet process is below 1, and says nothing. */
const MIN_BOUND = 4

/**
 * Sends calls with the same key to the same endpoint, as long as that is not much busier than the others: consistent hashing
 * with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018). For endpoints that remember: caches, sessions, shards.
 *
 * Points on the ring are in proportion to weight. An endpoint that comes or goes moves only the keys it gets or had. Clients agree with one
 * another: an endpoint's place depends on nothing but its name and weight.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function ringHash(options?: RingHashOptions): BalancerFactory {
  const { key, loadFactor } = readOptions<Required<RingHashOptions>>(
    'ringHash',
    options,
    { key: 'path', loadFactor: 1.25 },
    { key: aKey, loadFactor: numberFrom(1.05, 100) },
  )
  const keyHash = keyHashOf(key)
  return (runtime) => new RingHash(new Lots(runtime), keyHash, loadFactor)
}

class RingHash implements Balancer {
  readonly #lots: Lots
  readonly #keyHash: (call: Call) => number
  readonly #loadFactor: number
  #endpoints: readonly Endpoint[] = []
  #weight = 0
  #ring = Ring.of([])
  readonly #load = { inFlight: 0 }

  constructor(lots: Lots, keyHash: (call: Call) => number, loadFactor: number) {
    this.#lots = lots
    this.#keyHash = keyHash
    this.#loadFactor = loadFactor
  }

  meter(): LoadMeter {
    return new Counter(this.#load)
  }

  update(endpoints: readonly Endpoint[]): void {
    this.#endpoints = endpoints
    this.#weight = endpoints.reduce((total, e) => total + e.weight, 0)
    if (!this.#ring.show(endpoints)) this.#ring = this.#ring.joinedBy(endpoints) ?? Ring.of(endpoints)
  }

  pick(call: Call, _now: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const endpoints = this.#endpoints
    if (endpoints.length < 2) return endpoints[0]

    const hash = this.#keyHash(call)
    const start = hash < 0 ? this.#lots.below(this.#ring.size) : this.#ring.indexOf(hash)
    return this.#walk(start, avoid) ?? this.#anyBut(avoid)
  }

  /** The next endpoint on the ring that has room, or else the least busy of those it passed. */
  #walk(start: number, avoid: Endpoint | undefined): Endpoint | undefined {
    const ring = this.#ring
    const perWeight = (this.#loadFactor * (this.#load.inFlight + 1)) / this.#weight
    let best: Endpoint | undefined
    let bestLoad = Number.POSITIVE_INFINITY
    for (let step = 0; step < MAX_STEPS; step++) {
      const endpoint = ring.at(start + step)
      if (endpoint === undefined || endpoint === avoid || endpoint === best) continue
      const bound = Math.ceil(perWeight * endpoint.weight)
      if (endpoint.inFlight < (bound > MIN_BOUND ? bound : MIN_BOUND)) return endpoint
      const load = endpoint.inFlight / endpoint.weight
      if (load < bestLoad) {
        best = endpoint
        bestLoad = load
      }
    }
    return best
  }

  /** Only reached when all points passed were the avoided endpoint's, or those of endpoints that are not ready. */
  #anyBut(avoid: Endpoint | undefined): Endpoint | undefined {
    const n = this.#endpoints.length
    const i = this.#lots.below(n)
    return this.#endpoints[i] === avoid ? this.#endpoints[(i + 1) % n] : this.#endpoints[i]
  }
}

/** The points of endpoints, in the order of their hashes. */
class Ring {
  readonly #members: readonly Endpoint[]
  readonly #indexes: ReadonlyMap<Endpoint, number>
  /** By member: whether it is ready. */
  readonly #ready: Uint8Array
  readonly #points: Uint32Array
  /** By point: its member. */
  readonly #owners: Uint32Array
  /** Points for a weight of 1. */
  readonly #perWeight: number

  private constructor(members: readonly Endpoint[], perWeight: number, points: Uint32Array, owners: Uint32Array) {
    this.#members = members
    this.#indexes = new Map(members.map((endpoint, i) => [endpoint, i]))
    this.#ready = new Uint8Array(members.length).fill(1)
    this.#perWeight = perWeight
    this.#points = points
    this.#owners = owners
  }

  static of(members: readonly Endpoint[], perWeight = pointsPerWeight(members)): Ring {
    const keys = sortedPoints(members, perWeight)
    const points = new Uint32Array(keys.length)
    const owners = new Uint32Array(keys.length)
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i] as number
      points[i] = Math.floor(key / members.length)
      owners[i] = key % members.length
    }
    return new Ring(members, perWeight, points, owners)
  }

  /**
   * This ring with the points of those endpoints among `endpoints` that it does not have yet: merging a few costs a tenth of sorting all.
   *
   * @returns undefined when too much would change: then it takes a new ring
   */
  joinedBy(endpoints: readonly Endpoint[]): Ring | undefined {
    const known = this.#members.length
    const newcomers = endpoints.filter((endpoint) => !this.#indexes.has(endpoint))
    const members = [...this.#members, ...newcomers]
    if (newcomers.length * 10 > known || pointsPerWeight(members) !== this.#perWeight) return undefined
    const more = Ring.of(newcomers, this.#perWeight)
    const size = this.#points.length + more.#points.length
    const points = new Uint32Array(size)
    const owners = new Uint32Array(size)
    for (let to = 0, a = 0, b = 0; to < size; to++) {
      const ours =
        b === more.#points.length || (a < this.#points.length && (this.#points[a] as number) <= (more.#points[b] as number))
      points[to] = (ours ? this.#points[a] : more.#points[b]) as number
      owners[to] = ours ? (this.#owners[a++] as number) : known + (more.#owners[b++] as number)
    }
    const ring = new Ring(members, this.#perWeight, points, owners)
    return ring.show(endpoints) ? ring : undefined
  }

  get size(): number {
    return this.#points.length
  }

  /**
   * Makes these endpoints and no other the ready ones. Their keys fall to the next on the ring, as if the points of the rest were gone:
   * a breaker that opens must not cost the building of a ring.
   *
   * @returns false, having changed nothing, when it takes a new ring
   */
  show(endpoints: readonly Endpoint[]): boolean {
    const indexes = this.#indexes
    if (endpoints.length * 2 < this.#members.length || !endpoints.every((e) => indexes.has(e))) return false
    this.#ready.fill(0)
    for (const endpoint of endpoints) this.#ready[indexes.get(endpoint) as number] = 1
    return true
  }

  /** The endpoint at a point, counted around the ring any number of times; undefined when it is not ready. */
  at(index: number): Endpoint | undefined {
    const owner = this.#owners[index % this.#owners.length] as number
    return this.#ready[owner] === 1 ? this.#members[owner] : undefined
  }

  /** The first point at or after a hash. */
  indexOf(hash: number): number {
    const points = this.#points
    let low = 0
    let high = points.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((points[middle] as number) < hash) low = middle + 1
      else high = middle
    }
    return low
  }
}

/**
 * How many points a weight of 1 gets. Changes as seldom as possible when endpoints come and go: with their number and the lightest
 * weight, by powers of two.
 */
function pointsPerWeight(members: readonly Endpoint[]): number {
  const lightest = members.reduce((least, e) => Math.min(least, e.weight), Number.POSITIVE_INFINITY)
  const sum = members.reduce((total, e) => total + e.weight, 0)
  return 2 ** Math.min(Math.ceil(Math.log2(MIN_POINTS / lightest)), Math.floor(Math.log2(MAX_POINTS / sum)))
}

/** Hash and member of each point in one number, which sorts without a comparison function. */
function sortedPoints(members: readonly Endpoint[], perWeight: number): Float64Array {
  const n = members.length
  const counts = members.map((e) => Math.max(1, Math.round(e.weight * perWeight)))

  const keys = new Float64Array(counts.reduce((total, count) => total + count, 0))
  let at = 0
  members.forEach(({ name }, i) => {
    const first = hashOf(name, name.length, 1)
    const step = hashOf(name, name.length, 2) | 1
    for (let k = 0; k < (counts[i] as number); k++) keys[at++] = mixed(first + Math.imul(k, step)) * n + i
  })
  return keys.sort()
}

/** Counts calls in flight over all of a service's endpoints. */
class Counter implements LoadMeter {
  readonly #load: { inFlight: number }
  #inFlight = 0

  constructor(load: { inFlight: number }) {
    this.#load = load
  }

  cost(): number {
    return this.#inFlight + 1
  }

  start(): void {
    this.#inFlight++
    this.#load.inFlight++
  }

  sample(): void {}

  end(): void {
    if (this.#inFlight === 0) return
    this.#inFlight--
    this.#load.inFlight--
  }
}

const aKey: OptionCheck = (value) => {
  if (value === 'path' || typeof value === 'function') return undefined
  const header =
    typeof value === 'object' && value !== null && Object.keys(value).length === 1 ? (value as { header?: unknown }).header : ''
  return typeof header === 'string' && /^[!#$%&'*+.^`|~\w-]+$/.test(header)
    ? undefined
    : `'path', { header: 'name' } or a function`
}

/** What hashes the key of a call; -1 for a call without one. */
function keyHashOf(key: RingHashKey): (call: Call) => number {
  if (key === 'path') {
    return ({ path }) => {
      const query = path.indexOf('?')
      return hashOf(path, query < 0 ? path.length : query, 0)
    }
  }
  const read = typeof key === 'function' ? key : headerOf(key.header.toLowerCase())
  return (call) => {
    const value = read(call)
    return value === undefined || value === '' ? -1 : hashOf(value, value.length, 0)
  }
}

function headerOf(name: string): (call: Call) => string | undefined {
  return (call) => call.header(name)
}

/** FNV-1a over UTF-16 units, 32 bits, mixed. */
function hashOf(text: string, length: number, seed: number): number {
  let hash = 0x811c9dc5 ^ seed
  for (let i = 0; i < length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the result. */
function mixed(bits: number): number {
  let hash = bits | 0
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
