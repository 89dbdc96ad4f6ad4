import type { Metadata } from '@grpc/grpc-js'
import type { Runtime } from '../../core/clock.ts'
import type { Endpoint } from '../../core/endpoint.ts'
import type { RouteTable } from '../../core/route.ts'
import type { ParentCall } from './caller.ts'
import type { Deadline } from './deadline.ts'
import type { EndpointChannel } from './endpoint-channel.ts'
import type { Exchange } from './exchange.ts'

/** What an exchange needs of the channel it belongs to. */
export interface ExchangeOwner {
  /** This process's own service; empty when it has none. */
  readonly name: string
  readonly runtime: Runtime
  readonly authority: string
  /** Its calls go by TLS of the application's own. */
  readonly secure: boolean
  readonly table: RouteTable
  /** Sent by the calls that have nothing to say themselves: this process's own service, if it has one. Never written to. */
  readonly metadata: Metadata
  readonly connectTimeoutMs: number
  readonly isIdempotent: (path: string) => boolean
  /** Why no attempt may begin any more; undefined while one may. */
  readonly closed: string | undefined
  getTarget(): string
  nextCallNumber(): number
  channelTo(endpoint: Endpoint): EndpointChannel
  exchangeStarted(): void
  exchangeEnded(): void
  /** It has no attempt under way: when the channel closes, it is to be told. */
  exchangeWaits(exchange: Exchange): void
  exchangeGoes(exchange: Exchange): void
}

/** What the caller said of a call besides its metadata. */
export interface CallSettings {
  readonly path: string
  readonly deadline: Deadline
  readonly host: string | null | undefined
  readonly parent: ParentCall
  readonly flags: number | null | undefined
}
