import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { TLSSocket } from 'node:tls'
import {
  ATTEMPT_HEADER,
  CALLER_HEADER,
  GRPC_TIMEOUT_HEADER,
  type HeaderValue,
  readAttempt,
  readCaller,
  readGrpcTimeout,
  readTimeLeft,
  TIME_LEFT_HEADER,
} from '../core/context-headers.ts'
import { Inbound, type Peer } from '../core/inbound.ts'
import type { ConnectionKind } from '../core/tls-observer.ts'
import type { Reception } from './reception.ts'
import { clientAddress, plainAddress } from './trusted-proxies.ts'

/** What a request was received as, the last time. `request.mesh` is the same to its handlers, who may put something of their own there. */
export const RECEIVED: unique symbol = Symbol('inmesh.received')

/** A request as node:http and the compatibility API of node:http2 hand it over. Express keeps what the path was before it was mounted. */
export type HttpRequest = (IncomingMessage | Http2ServerRequest) & {
  readonly originalUrl?: string
  mesh?: unknown
  [RECEIVED]?: HttpInbound
}

/** One HTTP request. */
export class HttpInbound extends Inbound {
  readonly protocol = 'http'
  readonly reception: Reception
  readonly path: string
  /** What another mesh of this process knows of the same request, as it received it before. */
  readonly outer: HttpInbound | undefined
  readonly #request: HttpRequest
  /** Read at once: a socket that is gone does not know it any more. */
  readonly #address: string | undefined

  constructor(reception: Reception, request: HttpRequest) {
    const { clock } = reception.runtime
    const startedAt = clock.now()
    super(clock, startedAt, deadlineOf(request, startedAt))
    this.reception = reception
    this.#request = request
    this.outer = request[RECEIVED]
    this.path = request.originalUrl ?? request.url ?? ''
    this.#address = request.socket?.remoteAddress
  }

  get method(): string {
    return this.#request.method ?? ''
  }

  get attempt(): number {
    return readAttempt(this.#request.headers[ATTEMPT_HEADER])
  }

  get caller(): string {
    return readCaller(this.#request.headers[CALLER_HEADER])
  }

  get peer(): Peer {
    return { address: plainAddress(this.#address), identity: this.reception.identityOf(this.#request.socket) }
  }

  get clientAddress(): string {
    return clientAddress(plainAddress(this.#address), this.header('x-forwarded-for'), this.reception.trusts)
  }

  override get security(): ConnectionKind {
    return this.reception.securityOf(this.#request.socket)
  }

  override get localPort(): number | undefined {
    const { socket } = this.#request
    return socket === undefined || socket.destroyed ? undefined : (socket.localPort ?? 0)
  }

  /** That of the connection. */
  get scheme(): 'http' | 'https' {
    return (this.#request.socket as Partial<TLSSocket> | undefined)?.encrypted ? 'https' : 'http'
  }

  header(name: string): string | undefined {
    const value = this.#request.headers[name] as HeaderValue
    return typeof value === 'string' || value === undefined ? value : value.join(', ')
  }
}

/** What a reception knows of a request already, as another of its doors received it; undefined when it is new to it. */
export function receivedBy(reception: Reception, request: HttpRequest): HttpInbound | undefined {
  let inbound = request[RECEIVED]
  while (inbound !== undefined && inbound.reception !== reception) inbound = inbound.outer
  return inbound
}

/** Tells everybody who received a request which route it took. */
export function noteRoute(request: HttpRequest, route: string): void {
  for (let inbound = request[RECEIVED]; inbound !== undefined; inbound = inbound.outer) inbound.route = route
}

function deadlineOf({ headers }: HttpRequest, startedAt: number): number {
  const left = headers[TIME_LEFT_HEADER]
  const grpcLeft = headers[GRPC_TIMEOUT_HEADER]
  if (left === undefined && grpcLeft === undefined) return Number.POSITIVE_INFINITY
  return startedAt + Math.min(readTimeLeft(left), readGrpcTimeout(grpcLeft))
}
