import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { MeshError } from '../core/errors.ts'
import { shown } from '../core/options.ts'
import type { Keyring } from '../tls/keyring.ts'
import { firstBytes } from './first-byte.ts'
import { addressOf, Handshake, type HandshakeParts, type HandshakeTerms } from './handshake.ts'
import { HandshakeRoom } from './handshake-room.ts'
import { refusePlaintext } from './plaintext-refusal.ts'
import type { SecureConnection } from './secure-connection.ts'
import { SecureConnections } from './secure-connections.ts'

/**
 * `permissive`: serves plaintext and TLS on the same port, callers with an identity and without. `strict`: only those who have proved an
 * identity that is believed.
 */
export type TlsMode = 'permissive' | 'strict'

export interface SecurityParts {
  readonly keyring: Keyring
  readonly clock: Clock
  /** Default of every port: permissive. */
  readonly mode?: TlsMode
}

/** What all secured ports of a process share: the room for handshakes, and the connections that are open. One a mesh. */
export class Security {
  readonly parts: HandshakeParts
  readonly connections: SecureConnections
  readonly mode: TlsMode

  constructor({ keyring, clock, mode = 'permissive' }: SecurityParts) {
    this.parts = { keyring, clock, room: new HandshakeRoom(clock) }
    this.connections = new SecureConnections(keyring, clock)
    this.mode = mode
  }

  /** Looks after open connections no more. */
  close(): void {
    this.connections.close()
  }
}

/** What one port does with its connections. */
export interface ListenerTerms extends Pick<HandshakeTerms, 'protocols'> {
  readonly mode: TlsMode
  /** Whether callers in plaintext are refused, though callers without an identity may not be. */
  readonly tlsOnly: boolean
  /** Takes a connection that may be served. `connection` is what is known of one by TLS; undefined for plaintext. */
  serve(socket: Duplex, connection: SecureConnection | undefined): void
}

const MODES: readonly TlsMode[] = ['permissive', 'strict']

/** The first byte of a TLS record that holds a handshake (RFC 8446, 5.1). No method of HTTP begins with it. */
const TLS_HANDSHAKE = 0x16

const PLAINTEXT = 'the caller speaks plaintext to a port that takes TLS only: call it by https, or through the mesh'

/**
 * Serves callers by TLS and in plaintext on one port, told apart by their first byte. What a connection passes through:
 *
 * 1. silent: nothing is known of it, and it holds no more than its socket
 * 2. plaintext: served, or refused where TLS is demanded
 * 3. TLS: a handshake, in its turn; the caller's certificate is verified before anything is read
 */
export class SecureListener {
  readonly #security: Security
  readonly #terms: ListenerTerms
  /** What ends each silent connection. */
  readonly #silent = new Set<() => void>()

  /** @throws MeshError INMESH_CONFIG for a mode that there is not */
  constructor(security: Security, terms: ListenerTerms) {
    if (!MODES.includes(terms.mode))
      throw new MeshError('INMESH_CONFIG', `tls.mode: expected permissive or strict, got ${shown(terms.mode)}`)
    this.#security = security
    this.#terms = terms
  }

  /** Takes a connection that was just accepted. */
  accept(socket: Duplex): void {
    const stop = firstBytes(socket, this.#security.parts.clock, (bytes) => {
      this.#silent.delete(stop)
      if (bytes[0] === TLS_HANDSHAKE) this.#secure(socket)
      else this.#plain(socket, bytes)
    })
    this.#silent.add(stop)
    socket.once('close', () => this.#silent.delete(stop))
  }

  /** Destroys the connections that have said nothing yet: nobody waits for an answer on them. */
  closeSilent(): void {
    for (const stop of [...this.#silent]) stop()
  }

  #plain(socket: Duplex, bytes: Buffer): void {
    const { clock, keyring } = this.#security.parts
    if (this.#terms.mode === 'strict' || this.#terms.tlsOnly) {
      keyring.observer.handshakeEnded('server', 'plaintext_refused', `${addressOf(socket)}: ${PLAINTEXT}`)
      refusePlaintext(socket, bytes, clock)
      return
    }
    keyring.observer.connectionAccepted('plaintext')
    this.#terms.serve(socket, undefined)
  }

  #secure(socket: Duplex): void {
    const { parts, connections } = this.#security
    const { mode, protocols } = this.#terms
    const handshake = new Handshake(parts, { strict: mode === 'strict', protocols }, socket, (connection) => {
      if (connection === undefined) return
      parts.keyring.observer.connectionAccepted(connection.peer === undefined ? 'tls' : 'mtls')
      connections.add(connection)
      this.#terms.serve(connection.socket, connection)
    })
    handshake.start()
  }
}
