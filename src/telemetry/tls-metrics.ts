import type { Identity } from '../core/identity.ts'
import type { ConnectionKind, HandshakeResult, HandshakeSide, TlsObserver } from '../core/tls-observer.ts'

/** What there is to read, at one moment; every list of names is closed. */
export interface TlsReading {
  readonly handshakes: ReadonlyMap<HandshakeSide, ReadonlyMap<HandshakeResult, number>>
  readonly connections: ReadonlyMap<ConnectionKind, number>
  /** Identities taken up, the first included. */
  readonly identities: number
  /** Times that there was no newer identity. */
  readonly failures: number
  /** When the present identity ceases to be valid, in milliseconds since 1970; undefined without one. */
  readonly notAfter: number | undefined
  /** The SPIFFE ID of this process; undefined before it has one. */
  readonly identity: string | undefined
}

/** Counts handshakes, the connections that are served, and what becomes of this process's identity. Runs per connection, never per request. */
export class TlsMetrics implements TlsObserver {
  readonly #handshakes = new Map<HandshakeSide, Map<HandshakeResult, number>>()
  readonly #connections = new Map<ConnectionKind, number>()
  #identities = 0
  #failures = 0
  #notAfter: number | undefined
  #identity: string | undefined

  handshakeEnded(side: HandshakeSide, result: HandshakeResult): void {
    let results = this.#handshakes.get(side)
    if (results === undefined) {
      results = new Map()
      this.#handshakes.set(side, results)
    }
    results.set(result, (results.get(result) ?? 0) + 1)
  }

  connectionAccepted(kind: ConnectionKind): void {
    this.#connections.set(kind, (this.#connections.get(kind) ?? 0) + 1)
  }

  identityChanged(identity: Identity): void {
    this.#identities++
    this.#notAfter = identity.notAfter
    this.#identity = identity.id
  }

  identityFailed(): void {
    this.#failures++
  }

  read(): TlsReading {
    return {
      handshakes: this.#handshakes,
      connections: this.#connections,
      identities: this.#identities,
      failures: this.#failures,
      notAfter: this.#notAfter,
      identity: this.#identity,
    }
  }
}
