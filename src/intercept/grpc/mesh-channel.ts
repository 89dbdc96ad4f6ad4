import {
  type ChannelCredentials,
  type ChannelInterface,
  type ChannelOptions,
  Metadata,
  connectivityState as State,
} from '@grpc/grpc-js'
import type { Runtime, Timer } from '../../core/clock.ts'
import { CALLER_HEADER } from '../../core/context-headers.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { RouteTable } from '../../core/route.ts'
import type { ParentCall } from './caller.ts'
import type { Deadline } from './deadline.ts'
import type { EndpointChannel } from './endpoint-channel.ts'
import { EndpointChannels } from './endpoint-channels.ts'
import { Exchange } from './exchange.ts'
import type { CallSettings, ExchangeOwner } from './exchange-owner.ts'
import { StateWatch } from './state-watch.ts'
import type { Target } from './target.ts'

/** How often a channel that somebody waits for looks whether its service has endpoints at last, in milliseconds. */
const LOOK_AGAIN_MS = 100

/** What a channel needs of the door it belongs to. */
export interface ChannelOwner {
  /** This process's own service; empty when it has none. */
  readonly name: string
  readonly runtime: Runtime
  /** Why no call may begin any more; undefined while one may. */
  readonly closed: string | undefined
  /** What the mesh secures calls to the endpoint with, if it does; another object when connections are to be made anew. */
  credentialsFor(endpoint: Endpoint, table: RouteTable): ChannelCredentials | undefined
  /** The channel is to be told when the endpoint leaves. */
  holds(channel: MeshChannel, endpoint: Endpoint): void
  exchangeStarted(): void
  exchangeEnded(): void
  channelClosed(channel: MeshChannel): void
  /** The routes of an authority, when those that were known have been forgotten. */
  tableOf(authority: string, secure: boolean): RouteTable | undefined
}

/** What a client was made with. */
export interface ChannelSettings {
  readonly target: Target
  readonly table: RouteTable
  readonly credentials: ChannelCredentials
  readonly options: ChannelOptions
  readonly connectTimeoutMs: number
  readonly isIdempotent: (path: string) => boolean
}

/** A client's channel to one of our services: to grpc-js's `Client` the one channel it knows, in truth one to each endpoint. */
export class MeshChannel implements ChannelInterface, ExchangeOwner {
  readonly name: string
  readonly runtime: Runtime
  readonly authority: string
  readonly secure: boolean
  readonly metadata: Metadata
  #table: RouteTable
  readonly connectTimeoutMs: number
  readonly isIdempotent: (path: string) => boolean
  readonly #owner: ChannelOwner
  readonly #target: string
  readonly #channels: EndpointChannels
  readonly #watch: StateWatch
  /** Those that have no attempt under way. */
  readonly #waiting = new Set<Exchange>()
  #shutDown = false
  #callNumber = 0
  #look: Timer | undefined

  constructor(owner: ChannelOwner, settings: ChannelSettings) {
    const { target, table, credentials, options, connectTimeoutMs, isIdempotent } = settings
    this.name = owner.name
    this.runtime = owner.runtime
    this.authority = target.authority.toLowerCase()
    this.metadata = metadataOf(owner.name)
    this.#table = table
    this.connectTimeoutMs = connectTimeoutMs
    this.isIdempotent = isIdempotent
    this.#owner = owner
    this.#target = target.uri
    this.secure = credentials._isSecure()
    this.#channels = new EndpointChannels(target, credentials, options, {
      changed: () => this.#watch.tell(this.#state),
      lost: (endpoint) => this.table.service.leaving(endpoint),
    })
    this.#watch = new StateWatch(owner.runtime.clock)
  }

  /** A service that was forgotten, for want of endpoints, may have come to be since. */
  get table(): RouteTable {
    if (this.#table.forgotten) this.#table = this.#owner.tableOf(this.authority, this.secure) ?? this.#table
    return this.#table
  }

  // === as grpc-js's channel

  /** @throws TypeError as grpc-js's own channel does, Error when it is closed */
  createCall(
    path: string,
    deadline: Deadline,
    host: CallSettings['host'],
    parent: ParentCall,
    flags: CallSettings['flags'],
  ): Exchange {
    if (typeof path !== 'string') throw new TypeError('Channel#createCall: method must be a string')
    if (typeof deadline !== 'number' && !(deadline instanceof Date))
      throw new TypeError('Channel#createCall: deadline must be a number or Date')
    this.#assertOpen()
    return new Exchange(this, { path, deadline, host, parent, flags })
  }

  getTarget(): string {
    return this.#target
  }

  /** Of the service's endpoints the best; connecting while it has none and somebody wants one. */
  getConnectivityState(tryToConnect: boolean): State {
    if (tryToConnect && this.closed === undefined) this.#connect()
    return this.#state
  }

  /** @throws Error when it is closed */
  watchConnectivityState(state: State, deadline: Deadline, callback: (error?: Error) => void): void {
    this.#assertOpen()
    this.#watch.add(state, deadline, callback)
    this.#lookForEndpoints()
  }

  /** Channelz sees the channels to the endpoints; this one is not in its books. */
  getChannelzRef(): ReturnType<ChannelInterface['getChannelzRef']> {
    return { kind: 'channel', id: -1, name: this.#target } as ReturnType<ChannelInterface['getChannelzRef']>
  }

  /** Finishes the calls whose attempt is under way; ends those that wait, as never sent. Idempotent. */
  close(): void {
    if (this.#shutDown) return
    this.#shutDown = true
    this.#look?.cancel()
    for (const exchange of [...this.#waiting]) exchange.channelClosed('Channel closed before call started')
    this.#channels.close()
    this.#watch.tell(State.SHUTDOWN)
    this.#owner.channelClosed(this)
  }

  // === connectivity

  get #state(): State {
    if (this.#shutDown) return State.SHUTDOWN
    const { state } = this.#channels
    return state === State.IDLE && this.#look !== undefined ? State.CONNECTING : state
  }

  #connect(): void {
    const { endpoints } = this.table.service
    for (const endpoint of this.#channels.ahead(endpoints)) this.channelTo(endpoint).connect()
    if (endpoints.length === 0) this.#lookAgain()
  }

  #lookForEndpoints(): void {
    if (this.#watch.size > 0 && this.table.service.endpoints.length === 0) this.#lookAgain()
  }

  /** Discovery tells the service, and the service tells those who wait to send: for whoever only wants to know, it is worth a look. */
  #lookAgain(): void {
    this.#look ??= this.runtime.clock.after(LOOK_AGAIN_MS, () => {
      this.#look = undefined
      if (this.#watch.size > 0 && this.closed === undefined) this.#connect()
      this.#watch.tell(this.#state)
    })
  }

  // === as the owner of its calls

  get closed(): string | undefined {
    return this.#shutDown ? 'Channel closed before call started' : this.#owner.closed
  }

  channelTo(endpoint: Endpoint): EndpointChannel {
    const known = this.#channels.get(endpoint)
    if (known !== undefined) return known
    // TLS of the application's own stays
    const credentials = this.secure ? undefined : this.#owner.credentialsFor(endpoint, this.table)
    const channel = this.#channels.open(endpoint, credentials)
    this.#owner.holds(this, endpoint)
    return channel
  }

  /** Calls to the endpoint are to be secured anew. */
  renew(endpoint: Endpoint, credentials: ChannelCredentials): void {
    if (!this.secure) this.#channels.renew(endpoint, credentials)
  }

  /** The endpoint has left its service. */
  drop(endpoint: Endpoint): void {
    this.#channels.drop(endpoint)
  }

  nextCallNumber(): number {
    return this.#callNumber++
  }

  exchangeStarted(): void {
    this.#owner.exchangeStarted()
  }

  exchangeEnded(): void {
    this.#owner.exchangeEnded()
  }

  exchangeWaits(exchange: Exchange): void {
    this.#waiting.add(exchange)
  }

  exchangeGoes(exchange: Exchange): void {
    this.#waiting.delete(exchange)
  }

  /** As grpc-js says it. */
  #assertOpen(): void {
    if (this.#shutDown) throw new Error('Channel has been shut down')
  }
}

function metadataOf(caller: string): Metadata {
  const metadata = new Metadata()
  if (caller !== '') metadata.set(CALLER_HEADER, caller)
  return metadata
}
