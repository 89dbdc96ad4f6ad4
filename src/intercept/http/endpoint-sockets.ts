import type { ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import { CONNECT_FAILED, type Verdict } from '../../core/verdict.ts'
import type { ConnectionOptions } from '../../transport/connector.ts'
import type { HandshakeOutcome, Transport } from '../../transport/handshake.ts'
import { type SecuredEndpoint, securedEndpoint } from '../../transport/secured-endpoint.ts'
import { http, https } from '../node-http.ts'
import type { RequestAgent, RequestOptions } from './agent-contract.ts'
import { awaitConnection, awaitSecured, type ConnectOutcome } from './connecting.ts'
import { IdleSockets } from './idle-sockets.ts'

/** Who waits for a connection. Told nothing when a kept one could be used. */
export interface Passenger {
  /** A connection is being made; `cancel` gives it up. */
  connecting(cancel: () => void): void
  /** The request has its connection. */
  connected(): void
  unconnected(error: Error, verdict: Verdict): void
  /** The application's socket timeout passed while connecting. */
  connectTimedOut(): void
}

/** As those of Node's `globalAgent`; the connection used last is used first. */
const AGENT_OPTIONS = { keepAlive: true, scheduling: 'lifo' } as const

/**
 * The connections to one endpoint: Node's own keep-alive agent, except that a request gets its socket only once that is connected. So a
 * failed connection is seen here first, and the request can still go to another endpoint.
 */
export class EndpointSockets {
  readonly #endpoint: Endpoint
  readonly #clock: Clock
  readonly #secure: boolean
  readonly #connectTimeoutMs: number
  readonly #emptied: () => void
  readonly #agent: RequestAgent
  readonly #dial: (options: RequestOptions) => Socket
  readonly #idle: IdleSockets
  readonly #secured: SecuredEndpoint | undefined
  /** Whose request is being handed to the agent, for as long as that takes. */
  #passenger: Passenger | undefined

  /** @param emptied runs when the endpoint has left and its last connection is closed */
  constructor(endpoint: Endpoint, secure: boolean, connection: ConnectionOptions, clock: Clock, emptied: () => void) {
    this.#endpoint = endpoint
    this.#clock = clock
    this.#secure = secure
    this.#connectTimeoutMs = connection.connectTimeoutMs
    this.#emptied = emptied
    const agent = secure ? new https.Agent({ ...AGENT_OPTIONS, ...(connection.tls as object) }) : new http.Agent(AGENT_OPTIONS)
    this.#agent = agent as unknown as RequestAgent
    this.#dial = agent.createConnection.bind(agent) as unknown as (options: RequestOptions) => Socket
    this.#agent.createConnection = (options, created) => this.#connect(options, created)
    this.#idle = new IdleSockets(agent.freeSockets, clock)
    if (!secure) this.#secured = securedEndpoint(endpoint.address, connection.identity, () => this.#renew(), endpoint)
    const keep = agent.keepSocketAlive.bind(agent) as (socket: Duplex) => boolean
    if (this.#secured !== undefined) agent.keepSocketAlive = (socket) => !this.#secured?.isWorn(socket) && keep(socket)
  }

  /** Sends a request here; its Host header, path and everything else stay as the application made them. */
  send(request: ClientRequest, options: RequestOptions, passenger: Passenger, now: number): void {
    if (now >= this.#idle.lookAt) this.#idle.look(now)
    const { address } = this.#endpoint
    options.host = address.host
    options.port = address.port
    this.#passenger = passenger
    this.#agent.addRequest(request, options)
    this.#passenger = undefined
  }

  // === connecting

  #connect(options: RequestOptions, created: (error: Error | null, socket?: Duplex) => void): undefined {
    const passenger = this.#passenger as Passenger
    const onTimeout = () => passenger.connectTimedOut()
    const cancel = this.#begin(options, {
      opened: (socket) => void socket.on('timeout', onTimeout),
      connected: (socket) => {
        socket.off('timeout', onTimeout)
        this.#idle.opened()
        socket.once('close', () => this.#closed(socket))
        created(null, socket)
        passenger.connected()
      },
      failed: (error, verdict) => passenger.unconnected(error, verdict),
    })
    if (cancel !== undefined) passenger.connecting(cancel)
  }

  /** @returns gives up; undefined when it has failed already */
  #begin(options: RequestOptions, outcome: ConnectOutcome): (() => void) | undefined {
    const { name } = this.#endpoint
    const secured = this.#secured
    if (secured !== undefined) {
      const dial = (handshake: HandshakeOutcome) => secured.dial(transportOf(options), 'http/1.1', handshake)
      return awaitSecured(dial, name, this.#connectTimeoutMs, this.#clock, outcome)
    }
    try {
      const ready = this.#secure ? 'secureConnect' : 'connect'
      return awaitConnection(this.#dial(options), ready, name, this.#connectTimeoutMs, this.#clock, outcome)
    } catch (error) {
      outcome.failed(error as Error, CONNECT_FAILED)
      return undefined
    }
  }

  /** No connection that there is now takes another request. */
  #renew(): void {
    this.#idle.close()
  }

  // === what is learnt of the server

  /** The first answer on a connection said `Keep-Alive`, or nothing. */
  heard(keepAlive: string | undefined): void {
    this.#idle.heard(keepAlive)
  }

  /** A request was reset on a connection that had been kept, before any of the answer came. */
  resetOnReuse(socket: Socket, usedAt: number): void {
    this.#idle.resetOnReuse(socket, usedAt)
  }

  // === the end

  #closed(socket: Socket): void {
    this.#idle.closed(socket)
    this.#checkEmpty()
  }

  #checkEmpty(): void {
    if (this.#idle.open === 0 && this.#endpoint.removed) this.#emptied()
  }

  /** Closes what is idle; what is in use is closed after its answer if the endpoint has left. */
  close(): void {
    if (this.#endpoint.removed) {
      this.#agent.maxFreeSockets = 0
      this.#secured?.close()
    }
    this.#idle.close()
    this.#checkEmpty()
  }

  /** Closes every connection at once. */
  destroy(): void {
    this.close()
    this.#agent.destroy()
  }
}

/** What the application asks for below TLS. */
function transportOf(options: RequestOptions): Transport {
  const { localAddress, family, lookup, timeout } = options as Transport
  return { localAddress, family, lookup, timeout }
}
