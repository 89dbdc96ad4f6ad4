import type { Duplex } from 'node:stream'
import { TLSSocket, type TLSSocketOptions } from 'node:tls'
import type { Clock, Timer } from '../core/clock.ts'
import type { HandshakeResult } from '../core/tls-observer.ts'
import type { Keyring } from '../tls/keyring.ts'
import { peerChain } from '../tls/peer-chain.ts'
import type { VerifiedPeer } from '../tls/verify.ts'
import type { Guest, HandshakeRoom } from './handshake-room.ts'
import { SecureConnection } from './secure-connection.ts'

/** From its first byte to its end, in milliseconds, the wait for its turn and for this process's identity included. */
const HANDSHAKE_MS = 10_000

export interface HandshakeParts {
  readonly keyring: Keyring
  readonly clock: Clock
  readonly room: HandshakeRoom
}

export interface HandshakeTerms {
  /** Whether a caller without a certificate is refused. */
  readonly strict: boolean
  /** As `ALPNProtocols` of Node's. */
  readonly protocols: TLSSocketOptions['ALPNProtocols']
}

/**
 * One handshake, as server. The caller learns nothing of why it failed but what TLS itself says.
 *
 * - **waiting** for its turn
 * - **waiting -> begun** for this process's identity, then for the caller
 * - **begun -> over** when the caller is believed (or need not be), is not believed, leaves, or ten seconds have passed
 */
export class Handshake implements Guest {
  readonly #parts: HandshakeParts
  readonly #terms: HandshakeTerms
  readonly #raw: Duplex
  readonly #done: (connection: SecureConnection | undefined) => void
  readonly #timer: Timer
  #socket: TLSSocket | undefined
  /** Of the identity that was shown: it may have been replaced when the handshake ends. */
  #generation = 0
  #ownUntil = 0
  #giveUpWaiting: (() => void) | undefined
  #over = false

  /** @param done is called once: with the connection, or undefined when it was refused and is destroyed */
  constructor(
    parts: HandshakeParts,
    terms: HandshakeTerms,
    raw: Duplex,
    done: (connection: SecureConnection | undefined) => void,
  ) {
    this.#parts = parts
    this.#terms = terms
    this.#raw = raw
    this.#done = done
    this.#timer = parts.clock.after(HANDSHAKE_MS, () => this.#fail('timeout', `not finished within ${HANDSHAKE_MS} ms`))
    raw.on('error', ignored)
    raw.once('close', this.#closed)
  }

  /** Begins as soon as there is room. */
  start(): void {
    if (!this.#parts.room.enter(this)) this.#fail('overload', 'too many handshakes are under way')
  }

  begin(): void {
    this.#giveUpWaiting = this.#parts.keyring.whenPresent((update) => {
      if ('error' in update) this.#fail('no_identity', update.error.message)
      else this.#begin()
    })
  }

  makeRoom(): void {
    this.#fail('timeout', 'not finished, and others wait')
  }

  #begin(): void {
    const { identity, serverContext, generation } = this.#parts.keyring
    if (this.#over) return
    if (identity === undefined || serverContext === undefined) return this.#fail('no_identity', JUST_EXPIRED)
    this.#generation = generation
    this.#ownUntil = identity.notAfter
    const { strict, protocols } = this.#terms
    const socket = new TLSSocket(this.#raw as never, {
      isServer: true,
      secureContext: serverContext,
      requestCert: true,
      // For OpenSSL this says only whether there must be one: whether it is believed is decided below.
      rejectUnauthorized: strict,
      ...(protocols === undefined ? {} : { ALPNProtocols: protocols }),
    })
    this.#socket = socket
    socket.on('error', ignored)
    // The two events by which Node's own servers follow a handshake. Neither is documented; without them there is no handshake, and tests say so.
    socket.once('secure', this.#shaken)
    socket.once('_tlsError', this.#broken)
    socket.once('close', this.#closed)
    // Servers of HTTP leave a connection half open when the other end has nothing more to say.
    socket.once('end', this.#closed)
  }

  readonly #shaken = (): void => {
    const socket = this.#socket as TLSSocket
    const chain = peerChain(socket)
    if (chain.length === 0) return this.#succeed(socket, undefined)
    const { keyring } = this.#parts
    const verdict = keyring.verify(chain, { role: 'client' })
    if (verdict === undefined) this.#fail('no_identity', keyring.error?.message ?? JUST_EXPIRED)
    else if ('rule' in verdict) this.#fail(verdict.rule, verdict.message)
    else this.#succeed(socket, verdict)
  }

  readonly #broken = (error: NodeJS.ErrnoException & { readonly reason?: string }): void => {
    if (error.code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE') this.#fail('no_certificate', NO_CERTIFICATE)
    else if (error.code === 'ERR_SSL_EXCESSIVE_MESSAGE_SIZE') this.#fail('malformed', TOO_LARGE)
    else if (error.code?.startsWith('ERR_SSL_')) this.#fail('protocol', `no agreement on TLS 1.3: ${error.reason ?? error.code}`)
    else this.#fail('broken_off', error.message)
  }

  readonly #closed = (): void => this.#fail('broken_off', 'the caller has left')

  #succeed(socket: TLSSocket, peer: VerifiedPeer | undefined): void {
    if (!this.#end('ok', peer?.id ?? 'no certificate')) return
    release(socket, peer !== undefined)
    this.#done(new SecureConnection(socket, peer, this.#generation, this.#ownUntil))
  }

  #fail(result: HandshakeResult, message: string): void {
    if (!this.#end(result, `${addressOf(this.#raw)}: ${message}`)) return
    this.#socket?.destroy()
    this.#raw.destroy()
    this.#done(undefined)
  }

  /** @returns false when it was over already */
  #end(result: HandshakeResult, message: string): boolean {
    if (this.#over) return false
    this.#over = true
    this.#timer.cancel()
    this.#giveUpWaiting?.()
    this.#raw.off('close', this.#closed)
    this.#socket?.off('close', this.#closed).off('end', this.#closed)
    this.#parts.room.leave(this)
    this.#parts.keyring.observer.handshakeEnded('server', result, message)
    return true
  }
}

const JUST_EXPIRED = "this process's own identity has just expired: renew it, or compare the clocks"
/** OpenSSL takes no more from anybody. */
const TOO_LARGE =
  'the caller shows certificates of more than 100 KB: issue its leaf anew with its SPIFFE ID as only name, and send the chain alone'
const NO_CERTIFICATE = 'the caller has shown no certificate and this port is strict: give it an identity'

/** Hands a socket on as Node's own servers do: its errors are told from now on, and HTTP/2 no longer waits for the handshake. */
function release(socket: TLSSocket, isBelieved: boolean): void {
  const inner = socket as TLSSocket & { secureConnecting: boolean; _releaseControl?: () => boolean }
  inner.secureConnecting = false
  inner.authorized = isBelieved
  inner._releaseControl?.()
  socket.off('error', ignored)
}

/** For the log: `10.0.0.7:51234`. */
export function addressOf(socket: Duplex): string {
  const { remoteAddress = 'unknown', remotePort } = socket as { remoteAddress?: string; remotePort?: number }
  return remotePort === undefined ? remoteAddress : `${remoteAddress}:${remotePort}`
}

function ignored(): void {}
