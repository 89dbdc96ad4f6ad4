import type { TLSSocket } from 'node:tls'
import type { ConnectionKind } from '../core/tls-observer.ts'
import type { VerifiedPeer } from '../tls/verify.ts'

/** A connection by TLS whose other end was asked who it is. */
export class SecureConnection {
  readonly socket: TLSSocket
  /** Undefined for one that has shown no certificate. */
  readonly peer: VerifiedPeer | undefined
  /** Of the keyring, when it was made. */
  readonly generation: number
  /** When the first of the two identities ceases to be valid, in milliseconds since 1970. */
  readonly until: number
  /** It was told to go: what is under way ends, nothing new begins. */
  leaving = false
  /** Tells the other end so, in the words of the protocol that is spoken. Default: nothing; it is then cut off when its time is over. */
  leave: () => void = () => {}

  constructor(socket: TLSSocket, peer: VerifiedPeer | undefined, generation: number, ownUntil: number) {
    this.socket = socket
    this.peer = peer
    this.generation = generation
    this.until = Math.min(ownUntil, peer?.notAfter ?? Number.POSITIVE_INFINITY)
    ;(socket as Marked)[CONNECTION] = this
  }
}

/**
 * What is known of a connection, by its socket, or by what stands for it: HTTP/2 hands out stand-ins that pass reads through.
 *
 * @returns undefined for plaintext, for TLS that others terminate, and when the connection is gone
 */
export function secureConnectionOf(socket: unknown): SecureConnection | undefined {
  try {
    return (socket as Marked | undefined)?.[CONNECTION]
  } catch {
    // A stand-in throws once its session has let go of the socket.
    return undefined
  }
}

/** The SPIFFE ID that a connection's other end has proved; undefined for plaintext, and for a caller without an identity. */
export function identityOf(socket: unknown): string | undefined {
  return secureConnectionOf(socket)?.peer?.id
}

/** How a connection's other end came. TLS that an application terminates itself proves nothing to the mesh. */
export function securityOf(socket: unknown): ConnectionKind {
  const connection = secureConnectionOf(socket)
  if (connection !== undefined) return connection.peer === undefined ? 'tls' : 'mtls'
  try {
    return (socket as Partial<TLSSocket> | undefined)?.encrypted ? 'tls' : 'plaintext'
  } catch {
    return 'plaintext'
  }
}

interface Marked {
  [CONNECTION]?: SecureConnection
}

const CONNECTION = Symbol('inmesh.secureConnection')
