import type { CertificateRule } from './certificate-rule.ts'
import type { Identity } from './identity.ts'

/** The part that this process played in a handshake. */
export type HandshakeSide = 'client' | 'server'

/** The closed list of how a handshake ends; bounded, so that it can label a metric. */
export type HandshakeResult =
  | 'ok'
  /** It was begun and not finished in time. */
  | 'timeout'
  /** The other end left, or was broken, before it was through. */
  | 'broken_off'
  /** The two ends don't agree on TLS, or what came was none: an old version, no common cipher or protocol, garbage. */
  | 'protocol'
  /** Too many handshakes are under way. */
  | 'overload'
  /** Plaintext came where only TLS is spoken. */
  | 'plaintext_refused'
  /** The other end has shown no certificate where one is asked for. */
  | 'no_certificate'
  /** This process has no valid identity to show. */
  | 'no_identity'
  /** The rule that the other end's certificates broke. */
  | CertificateRule

/** How a caller came: with an identity of its own, by TLS without one, or in plaintext. */
export type ConnectionKind = 'mtls' | 'tls' | 'plaintext'

/**
 * Looks on at identities, handshakes and the connections that are served. Annotates, never decides; must not throw. Runs per connection,
 * never per request.
 */
export interface TlsObserver {
  /**
   * @param message who the other end is when all went well, else why it did not: for the log, never for the other end; at most some 3 KB,
   *   of which the other end may have chosen a part
   */
  handshakeEnded(side: HandshakeSide, result: HandshakeResult, message: string): void
  /** A connection to this process is served from now on. */
  connectionAccepted(kind: ConnectionKind): void
  /** This process has its first identity, or a new one. */
  identityChanged(identity: Identity): void
  /** There is no newer identity; the last one stands as long as it is valid. */
  identityFailed(error: Error): void
}

/** Both look on, in this order. */
export function bothTlsObservers(first: TlsObserver, second: TlsObserver): TlsObserver {
  return {
    handshakeEnded(side, result, message) {
      first.handshakeEnded(side, result, message)
      second.handshakeEnded(side, result, message)
    },
    connectionAccepted(kind) {
      first.connectionAccepted(kind)
      second.connectionAccepted(kind)
    },
    identityChanged(identity) {
      first.identityChanged(identity)
      second.identityChanged(identity)
    },
    identityFailed(error) {
      first.identityFailed(error)
      second.identityFailed(error)
    },
  }
}

/** Looks away. */
export const noTlsObserver: TlsObserver = {
  handshakeEnded() {},
  connectionAccepted() {},
  identityChanged() {},
  identityFailed() {},
}
