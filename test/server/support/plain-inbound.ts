import type { Clock } from '../../../src/core/clock.ts'
import { Inbound, type Peer } from '../../../src/core/inbound.ts'

export interface PlainFacts {
  readonly method?: string
  readonly path?: string
  /** Monotonic milliseconds. */
  readonly deadline?: number
  readonly address?: string
  readonly identity?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Undefined when its connection is gone. */
  readonly localPort?: number | undefined
}

/** A request without a protocol: what is given, and what a plain GET says otherwise. */
export class PlainInbound extends Inbound {
  readonly protocol = 'http'
  readonly method: string
  readonly path: string
  readonly attempt = 1
  readonly caller = ''
  readonly peer: Peer
  readonly clientAddress: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #localPort: number | undefined

  constructor(clock: Clock, facts: PlainFacts = {}) {
    const { path = '/', deadline = Number.POSITIVE_INFINITY, address = '10.0.0.7', identity, headers = {} } = facts
    super(clock, clock.now(), deadline)
    this.method = facts.method ?? 'GET'
    this.path = path
    this.#localPort = 'localPort' in facts ? facts.localPort : 0
    this.peer = { address, identity }
    this.clientAddress = address
    this.#headers = headers
  }

  override get localPort(): number | undefined {
    return this.#localPort
  }

  header(name: string): string | undefined {
    return this.#headers[name]
  }
}
