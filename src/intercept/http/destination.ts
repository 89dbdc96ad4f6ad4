import type { Clock } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { RouteTable } from '../../core/route.ts'
import type { ConnectionOptions } from '../../transport/connector.ts'
import { EndpointSockets } from './endpoint-sockets.ts'

/** An authority of ours, and the connections to the endpoints behind it. */
export class Destination {
  /** Lower case; with the port unless it is the scheme's default. */
  readonly authority: string
  /** What a TLS handshake asks for when the request has no Host header; empty for an IP address. */
  readonly servername: string
  readonly table: RouteTable
  readonly secure: boolean
  readonly #connection: ConnectionOptions
  readonly #clock: Clock
  readonly #sockets = new Map<Endpoint, EndpointSockets>()

  constructor(
    authority: string,
    servername: string,
    table: RouteTable,
    secure: boolean,
    options: ConnectionOptions,
    clock: Clock,
  ) {
    this.authority = authority
    this.servername = servername
    this.table = table
    this.secure = secure
    this.#connection = options
    this.#clock = clock
  }

  /** The connections to one endpoint. They close when the endpoint leaves its service; those in use, after their answer. */
  sockets(endpoint: Endpoint): EndpointSockets {
    return this.#sockets.get(endpoint) ?? this.#add(endpoint)
  }

  #add(endpoint: Endpoint): EndpointSockets {
    const emptied = () => this.#sockets.delete(endpoint)
    const sockets = new EndpointSockets(endpoint, this.secure, this.#connection, this.#clock, emptied)
    this.#sockets.set(endpoint, sockets)
    endpoint.onLeave(() => sockets.close())
    return sockets
  }

  /** Closes what is idle. */
  close(): void {
    for (const sockets of this.#sockets.values()) sockets.close()
  }

  /** Closes every connection at once. */
  destroy(): void {
    for (const sockets of this.#sockets.values()) sockets.destroy()
  }
}
