import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { RouteTable } from '../../core/route.ts'
import type { ConnectionOptions } from '../../transport/connector.ts'
import { EndpointPool } from '../../transport/endpoint-pool.ts'

/** An origin of ours, as undici names it, and the connections to the endpoints behind it. */
export class Destination {
  readonly authority: string
  readonly secure: boolean
  readonly table: RouteTable
  readonly #origin: string
  readonly #options: ConnectionOptions
  readonly #clock: Clock
  readonly #pools = new Map<Endpoint, EndpointPool>()
  readonly #closing = new Map<EndpointPool, Promise<void>>()
  #closed = false

  constructor(origin: URL, table: RouteTable, options: ConnectionOptions, clock: Clock) {
    this.#origin = origin.origin
    this.authority = origin.host
    this.secure = origin.protocol === 'https:'
    this.table = table
    this.#options = options
    this.#clock = clock
  }

  /** The connections to one endpoint; they close when the endpoint leaves its service. */
  pool(endpoint: Endpoint): EndpointPool {
    return this.#pools.get(endpoint) ?? this.#open(endpoint)
  }

  #open(endpoint: Endpoint): EndpointPool {
    const pool = new EndpointPool(this.#origin, endpoint, this.#options, this.#clock)
    this.#pools.set(endpoint, pool)
    // A call that began before the end may still be sent again: that one attempt, and no more.
    if (this.#closed) queueMicrotask(() => this.#drop(endpoint, pool))
    else endpoint.onLeave(() => this.#drop(endpoint, pool))
    return pool
  }

  #drop(endpoint: Endpoint, pool: EndpointPool): void {
    if (this.#closing.has(pool)) return
    if (this.#pools.get(endpoint) === pool) this.#pools.delete(endpoint)
    this.#closing.set(
      pool,
      pool.close().then(() => {
        this.#closing.delete(pool)
      }),
    )
  }

  /** Finishes what is in flight, then closes every connection. */
  async close(): Promise<void> {
    this.#closed = true
    for (const [endpoint, pool] of this.#pools) this.#drop(endpoint, pool)
    await Promise.all(this.#closing.values())
  }

  /** Closes every connection at once. */
  async destroy(error: Error): Promise<void> {
    await Promise.all([...this.#pools.values(), ...this.#closing.keys()].map((pool) => pool.destroy(error)))
  }
}
