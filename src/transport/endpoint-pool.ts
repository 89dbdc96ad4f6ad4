import { type buildConnector, type Dispatcher, Pool } from 'undici'
import type { Clock } from '../core/clock.ts'
import type { Endpoint } from '../core/endpoint.ts'
import { Connection } from './connection.ts'
import { type ConnectionOptions, connector, securedConnector } from './connector.ts'
import { IdleTimeout } from './idle-timeout.ts'
import { type SecuredEndpoint, securedEndpoint } from './secured-endpoint.ts'

/** How long an unused connection is kept when the server does not say, in milliseconds (undici's default). */
const KEEP_ALIVE_MS = 4_000
/** The longest a server may talk us into keeping one, in milliseconds (undici's default). */
const KEEP_ALIVE_MAX_MS = 600_000

/** The connections to one endpoint under one origin. */
export class EndpointPool {
  readonly #origin: string
  readonly #endpoint: Endpoint
  readonly #options: ConnectionOptions
  readonly #clock: Clock
  readonly #idle = new IdleTimeout()
  /** Undefined when what is called in the clear is sent in the clear, and for `https:`. */
  readonly #secured: SecuredEndpoint | undefined
  /** Pools that take no more requests and finish those they have; the promises never reject. */
  readonly #retired = new Map<Pool, Promise<void>>()
  #pool: Pool

  /** @param origin what undici shall believe it talks to: `http://voting:8080` */
  constructor(origin: string, endpoint: Endpoint, options: ConnectionOptions, clock: Clock) {
    this.#origin = origin
    this.#endpoint = endpoint
    this.#options = options
    this.#clock = clock
    if (origin.startsWith('http:'))
      this.#secured = securedEndpoint(endpoint.address, options.identity, () => this.#renew(), endpoint)
    this.#pool = this.#open()
  }

  /** Sends a request; the handler learns its connection. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#pool.dispatch(options, handler)
  }

  /** A connection that had served before was closed by the server after having been idle for so long. */
  closedWhenIdle(idleMs: number): void {
    if (this.#idle.saw(idleMs, this.#clock.now())) this.#renew()
  }

  #renew(): void {
    if (this.#retired.has(this.#pool)) return
    this.#retire()
    this.#pool = this.#open()
  }

  #open(): Pool {
    const retireMs = this.#idle.retireMs
    return new Pool(this.#origin, {
      connect: this.#connector(),
      factory: (origin, options) => this.#connection(origin, options),
      allowH2: this.#options.allowH2 || this.#options.h2c,
      ...(this.#options.h2c ? { useH2c: true } : {}),
      keepAliveTimeout: Math.min(KEEP_ALIVE_MS, retireMs),
      keepAliveMaxTimeout: Math.min(KEEP_ALIVE_MAX_MS, retireMs),
    } as Pool.Options)
  }

  #connector(): buildConnector.connector {
    const { address } = this.#endpoint
    if (this.#secured === undefined) return connector(address, this.#options, this.#clock)
    return securedConnector(address, this.#options, this.#clock, this.#secured)
  }

  #connection(origin: URL, options: object): Connection {
    const pool = this.#pool
    const connection = new Connection(origin, options)
    connection.on('disconnect', (_origin, _targets, error: Error & { code?: string }) => {
      const { served, idleSince, busy } = connection
      connection.served = 0
      if (served > 0 && busy === 0 && HUNG_UP.has(error.code)) this.closedWhenIdle(this.#clock.now() - idleSince)
      // undici would let new requests wait until the last stream of such a connection has ended
      if (busy > 0 && pool === this.#pool && error.message.includes('GOAWAY')) this.#renew()
    })
    return connection
  }

  #retire(): void {
    const pool = this.#pool
    const gone = (): void => void this.#retired.delete(pool)
    this.#retired.set(pool, pool.close().then(gone, gone))
  }

  /** Finishes what is in flight, then closes every connection. Idempotent; never rejects. */
  async close(): Promise<void> {
    this.#secured?.close()
    if (!this.#pool.closed) this.#retire()
    await Promise.all(this.#retired.values())
  }

  /** Closes every connection at once; requests in flight fail with `error`. Idempotent. */
  async destroy(error: Error): Promise<void> {
    this.#secured?.close()
    await Promise.all([this.#pool, ...this.#retired.keys()].map((pool) => pool.destroy(error)))
  }
}

/** The server closed the connection; whatever we do ourselves has another code. */
const HUNG_UP: ReadonlySet<string | undefined> = new Set(['UND_ERR_SOCKET', 'ECONNRESET'])
