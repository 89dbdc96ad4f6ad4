import type { ChannelCredentials, ChannelInterface, ChannelOptions } from '@grpc/grpc-js'
import type { Runtime } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { RouteTable } from '../../core/route.ts'
import { type SecuredEndpoint, securedEndpoint } from '../../transport/secured-endpoint.ts'
import type { DoorParts } from '../door-parts.ts'
import { type ChannelOwner, MeshChannel } from './mesh-channel.ts'
import { MeshCredentials } from './mesh-credentials.ts'
import { OutsideChannel } from './outside-channel.ts'
import { parseTarget } from './target.ts'

/** The door for grpc-js clients: makes their channels, and sees to their end. `grpcClientOptions` is how a client comes through it. */
export class GrpcDoor implements ChannelOwner {
  readonly name: string
  readonly runtime: Runtime
  closed: string | undefined
  readonly #parts: DoorParts
  readonly #channels = new Set<MeshChannel>()
  /** Who is to be told when an endpoint leaves. Kept here, so that a client more does not mean a listener more on each endpoint for ever. */
  readonly #holders = new Map<Endpoint, Set<MeshChannel>>()
  /** What secures the endpoints that the mesh secures: of all clients together, so that those with equal options share their connections. */
  readonly #secured = new Map<Endpoint, Security>()
  #inFlight = 0
  #closing: Promise<void> | undefined
  #drained: (() => void) | undefined

  constructor(parts: DoorParts) {
    this.name = parts.name
    this.runtime = parts.runtime
    this.#parts = parts
  }

  /**
   * The channel of a client: ours if the target is, else grpc-js's own.
   *
   * @throws as grpc-js's own channel does, for a target or credentials that are none
   */
  channel(
    target: string,
    credentials: ChannelCredentials,
    options: ChannelOptions,
    isIdempotent: (path: string) => boolean,
  ): ChannelInterface {
    const secure = typeof credentials?._isSecure === 'function' && credentials._isSecure()
    const parsed = typeof target === 'string' ? parseTarget(target) : undefined
    const authority = parsed?.authority.toLowerCase() ?? ''
    const table = parsed === undefined ? undefined : this.#parts.router.table(authority, secure)
    if (parsed === undefined || table === undefined || typeof credentials?._isSecure !== 'function') {
      const origin = parsed === undefined ? String(target) : `${secure ? 'https' : 'http'}://${authority}`
      return new OutsideChannel(target, credentials, options, () => this.#parts.egress(origin))
    }
    // the rest of it is in a client's credentials and options
    const { connectTimeoutMs } = this.#parts.connection(table)
    const channel = new MeshChannel(this, { target: parsed, table, credentials, options, connectTimeoutMs, isIdempotent })
    this.#channels.add(channel)
    return channel
  }

  // === as the owner of its channels

  holds(channel: MeshChannel, endpoint: Endpoint): void {
    const holders = this.#holders.get(endpoint)
    if (holders !== undefined) return void holders.add(channel)
    this.#holders.set(endpoint, new Set([channel]))
    endpoint.onLeave(() => this.#left(endpoint))
  }

  #left(endpoint: Endpoint): void {
    const holders = this.#holders.get(endpoint)
    this.#holders.delete(endpoint)
    this.#secured.get(endpoint)?.secured.close()
    this.#secured.delete(endpoint)
    for (const channel of holders ?? []) channel.drop(endpoint)
  }

  credentialsFor(endpoint: Endpoint, table: RouteTable): ChannelCredentials | undefined {
    const known = this.#secured.get(endpoint)
    if (known !== undefined) return known.credentials
    const { identity, connectTimeoutMs } = this.#parts.connection(table)
    const secured = securedEndpoint(endpoint.address, identity, () => this.#renew(endpoint), endpoint)
    if (secured === undefined) return undefined
    const security = { secured, connectTimeoutMs, credentials: this.#credentials(secured, connectTimeoutMs) }
    this.#secured.set(endpoint, security)
    return security.credentials
  }

  #credentials(secured: SecuredEndpoint, connectTimeoutMs: number): ChannelCredentials {
    return new MeshCredentials(secured, connectTimeoutMs, this.runtime.clock)
  }

  #renew(endpoint: Endpoint): void {
    const security = this.#secured.get(endpoint)
    if (security === undefined) return
    security.credentials = this.#credentials(security.secured, security.connectTimeoutMs)
    for (const channel of this.#holders.get(endpoint) ?? []) channel.renew(endpoint, security.credentials)
  }

  tableOf(authority: string, secure: boolean): RouteTable | undefined {
    return this.#parts.router.table(authority, secure)
  }

  channelClosed(channel: MeshChannel): void {
    this.#channels.delete(channel)
    for (const holders of this.#holders.values()) holders.delete(channel)
  }

  exchangeStarted(): void {
    this.#inFlight++
  }

  exchangeEnded(): void {
    this.#inFlight--
    if (this.#inFlight === 0) this.#drained?.()
  }

  // === the end

  /** Refuses new calls to services, finishes those in flight, then closes their channels. Other channels are left alone. Idempotent. */
  close(): Promise<void> {
    this.closed ??= 'mesh is closed'
    this.#closing ??= this.#drain()
    return this.#closing
  }

  /** Closes every channel to a service at once, whatever is in flight. */
  destroy(): void {
    this.closed ??= 'mesh is destroyed'
    for (const channel of [...this.#channels]) channel.close()
    this.#drained?.()
  }

  async #drain(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#drained = resolve))
    for (const channel of [...this.#channels]) channel.close()
  }
}

interface Security {
  readonly secured: SecuredEndpoint
  readonly connectTimeoutMs: number
  credentials: ChannelCredentials
}
