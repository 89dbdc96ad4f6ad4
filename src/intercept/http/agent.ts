import type { AgentOptions, ClientRequest } from 'node:http'
import { isIP } from 'node:net'
import type { Runtime } from '../../core/clock.ts'
import { requiredIdentities, unprovenOutside } from '../../core/identity-requirement.ts'
import { closedError } from '../call-errors.ts'
import type { DoorParts } from '../door-parts.ts'
import { http, https } from '../node-http.ts'
import type { MeshedRequest, RequestAgent, RequestOptions } from './agent-contract.ts'
import { Destination } from './destination.ts'
import { Exchange } from './exchange.ts'
import type { ExchangeOwner } from './exchange-owner.ts'
import { standIn } from './stand-in.ts'

/** Authorities remembered, ours or not; beyond it they are forgotten one by one, so that a crawler's calls cost bounded memory. */
const MAX_AUTHORITIES = 1_000

/** What the door for node:http is made of. */
export interface AgentParts extends DoorParts {
  /** Whether it is the agent for `https:`. */
  readonly secure: boolean
}

/**
 * The door for node:http and all that is built on it: axios, got, `http.globalAgent`. Each request to one of our services goes to an
 * endpoint of its own over kept connections; any other goes, untouched, to the agent that was Node's `globalAgent` before.
 *
 * The request stays Node's: Host header, path, options, events and errors are those of any request. What is added:
 *
 * - Connections that fail (refused, unreachable, too slow, no TLS) are followed by others, for every method and body, before the request
 *   sees an error. When none is left it fails with a MeshError INMESH_ATTEMPTS_FAILED, and with INMESH_NO_ENDPOINT, INMESH_REFUSED,
 *   INMESH_BREAKER_OPEN or INMESH_CLOSED when none could be tried.
 * - The route's `timeoutMs` and `perTryTimeoutMs` destroy the request with INMESH_TIMEOUT and INMESH_ATTEMPTS_FAILED.
 * - 'socket' is emitted with the connection already made, as for a kept one: 'connect' and 'secureConnect' are over by then.
 *
 * What it cannot do: a request whose head was sent is not sent again, since Node offers no way to move a request to another socket. So
 * a 503 is the application's, and so is a reset. That of a kept connection which the server was just closing is made rare instead, by
 * closing connections before the server would: after what its `Keep-Alive` header says, or after what it was seen to do. A server that
 * is killed still resets what is in flight. `fetch` and undici resend both. For the same reason a route's `hedge` is not for this door: of two
 * sockets, the request could have the answer of only one, its first.
 *
 * `maxSockets` and its kin, and `options`, are those of the agent outside and do not apply to our services: the mesh has limits of its
 * own. A request that its application destroys, be it for a timeout of its own, counts as cancelled; `perTryTimeoutMs` is the one that counts against an endpoint. Under `NODE_USE_ENV_PROXY`
 * the services belong in `NO_PROXY`, or Node writes their requests as for a proxy.
 */
export class MeshAgent extends http.Agent implements ExchangeOwner {
  readonly name: string
  readonly runtime: Runtime
  readonly #parts: AgentParts
  readonly #outside: RequestAgent
  readonly #defaultPort: number
  /** By host and port as written; the origin of those that are not ours. */
  readonly #destinations = new Map<string, Destination | string>()
  /** Destinations that were forgotten and may have connections yet. */
  readonly #forgotten = new Set<Destination>()
  /** Those whose request has no socket yet. */
  readonly #waiting = new Set<Exchange>()
  #inFlight = 0
  #closed: Promise<void> | undefined
  #drained: (() => void) | undefined

  constructor(parts: AgentParts) {
    const outside = (parts.secure ? https.globalAgent : http.globalAgent) as unknown as RequestAgent
    super({ ...outside.options, keepAlive: true, timeout: undefined } as AgentOptions)
    this.name = parts.name
    this.runtime = parts.runtime
    this.#parts = parts
    this.#outside = outside
    this.#defaultPort = parts.secure ? 443 : 80
    Object.assign(this, { protocol: parts.secure ? 'https:' : 'http:', defaultPort: this.#defaultPort })
    standIn(this, outside, parts.secure)
  }

  /** Called by each request with a copy of its options. */
  addRequest(request: ClientRequest, options: RequestOptions): void {
    if (!this.take(request, options)) this.#passOn(request, options)
  }

  /** Sees to a request to one of our services. Any other is counted and, unless an identity is required, left to the caller. */
  take(request: ClientRequest, options: RequestOptions): boolean {
    const destination = options.socketPath ? '' : this.#destination(options)
    if (typeof destination !== 'string') {
      this.#send(destination, request as MeshedRequest, options)
      return true
    }
    if (destination !== '') this.#parts.egress(destination)
    const required = requiredIdentities()
    if (required === undefined) return false
    ;(request as MeshedRequest).onSocket(null, unprovenOutside(destination || String(options.socketPath), required))
    return true
  }

  #send(destination: Destination, request: MeshedRequest, options: RequestOptions): void {
    if (this.#closed !== undefined) return request.onSocket(null, closedError('mesh is closed'))
    // Without TLS nobody asks for it, but Node would find it out for each request.
    if (!this.#parts.secure) options.servername = ''
    else if (!options.servername && !request.hasHeader('host')) options.servername = destination.servername
    const exchange = new Exchange(this, destination, request, options)
    this.#inFlight++
    try {
      exchange.start()
    } catch (error) {
      // Options that Node refuses; `http.request()` throws, and nothing more will be heard of the request.
      exchange.closed()
      throw error
    }
  }

  /** The request reads some of its defaults from its agent. */
  #passOn(request: ClientRequest, options: RequestOptions): void {
    ;(request as { agent?: unknown }).agent = this.#outside
    this.#outside.addRequest(request, options)
  }

  #destination({ host, port }: RequestOptions): Destination | string {
    const key = Number(port) === this.#defaultPort ? (host as string) : `${host}:${port}`
    const known = this.#destinations.get(key)
    const stale = known === undefined || (typeof known !== 'string' && known.table.forgotten)
    return stale ? this.#find(key, host as string) : known
  }

  #find(key: string, host: string): Destination | string {
    this.#destinations.delete(key)
    const bare = host.toLowerCase()
    const authority = (bare.includes(':') && !bare.startsWith('[') ? `[${bare}]` : bare) + key.slice(host.length)
    const { secure } = this.#parts
    const table = this.#parts.router.table(authority, secure)
    const servername = isIP(bare) === 0 ? bare : ''
    const found =
      table === undefined
        ? `${secure ? 'https' : 'http'}://${authority}`
        : new Destination(authority, servername, table, secure, this.#parts.connection(table), this.runtime.clock)
    if (this.#destinations.size >= MAX_AUTHORITIES) this.#forgetOldest()
    this.#destinations.set(key, found)
    return found
  }

  /** Those that are not ours go first: they cost a look-up, ours their connections. */
  #forgetOldest(): void {
    let oldest: string | undefined
    for (const [key, destination] of this.#destinations) {
      oldest ??= key
      if (typeof destination !== 'string') continue
      this.#destinations.delete(key)
      return
    }
    const destination = this.#destinations.get(oldest as string) as Destination
    this.#destinations.delete(oldest as string)
    destination.close()
    this.#forgotten.add(destination)
  }

  exchangeWaits(exchange: Exchange): void {
    this.#waiting.add(exchange)
  }

  exchangeGoes(exchange: Exchange): void {
    this.#waiting.delete(exchange)
  }

  exchangeEnded(): void {
    this.#inFlight--
    if (this.#inFlight === 0) this.#drained?.()
  }

  /** Refuses new calls to services, finishes those in flight, then closes every connection. Other calls still pass. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= this.#drain()
    return this.#closed
  }

  async #drain(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
    this.#destroyConnections()
  }

  /**
   * Closes every connection to a service at once: requests in flight fail. Like every agent, it can be used again. Connections that are
   * not ours belong to the agent outside and stay.
   */
  override destroy(): void {
    for (const exchange of [...this.#waiting]) exchange.destroy(closedError('agent is destroyed'))
    this.#destroyConnections()
    super.destroy()
  }

  #destroyConnections(): void {
    for (const destination of this.#destinations.values()) if (typeof destination !== 'string') destination.destroy()
    for (const destination of this.#forgotten) destination.destroy()
    this.#forgotten.clear()
  }
}
