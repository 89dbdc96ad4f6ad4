import type { LookupFunction, Socket } from 'node:net'
import { type ConnectionOptions, connect, type DetailedPeerCertificate, type PeerCertificate, type TLSSocket } from 'node:tls'
import { type Address, addressName } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import type { HandshakeResult } from '../core/tls-observer.ts'
import { refusalError, type VerifiedPeer } from '../tls/verify.ts'
import { handshakeProblem } from './handshake-problem.ts'
import { expectedIds, type MeshTls } from './mesh-tls.ts'
import { serverChain } from './server-chain.ts'

/** What is spoken inside. */
export type Protocol = 'http/1.1' | 'h2'

/** A connection that is there, or how to make one; as `net.connect` takes it. */
export interface Transport {
  readonly socket?: Socket
  readonly localAddress?: string | undefined
  readonly family?: number | undefined
  readonly lookup?: LookupFunction | undefined
  /** In milliseconds of silence, upon which the socket says 'timeout'. */
  readonly timeout?: number | undefined
}

/** Told once how it ended, unless it was given up. */
export interface HandshakeOutcome {
  /** @param peer its `notAfter` is that of the certificates of both ends */
  secured(socket: TLSSocket, peer: VerifiedPeer): void
  failed(error: Error): void
  /** There is a socket; it may not be connected yet. */
  opened?(socket: TLSSocket): void
}

/** As undici's for TLS: a record is no longer. */
const HIGH_WATER_MARK = 16_384
const KEEP_ALIVE_MS = 60_000

/**
 * One connection of the mesh as its client makes it: waits for this process's identity, connects, shows it, and asks the other end for one of
 * those that are expected. Nothing is written to it, and nobody gets to see it, before that is proven. There is no time limit here: whoever
 * began it gives it up.
 *
 * No name of a server is asked for (SNI): a SPIFFE ID is no host name, no server chooses its certificate by it, and it would tell on the wire
 * who is called. No session is resumed: a resumed one would prove nothing.
 */
export class Handshake {
  /** With which of the keyring's identities it was made; 0 before that. */
  generation = 0
  readonly #address: Address
  readonly #tls: MeshTls
  #outcome: HandshakeOutcome
  #over = false
  #socket: TLSSocket | undefined
  #connected = false
  /** Until when this process's own certificates are valid. */
  #notAfter = 0
  #stopWaiting: (() => void) | undefined

  constructor(address: Address, tls: MeshTls, outcome: HandshakeOutcome) {
    this.#address = address
    this.#tls = tls
    this.#outcome = outcome
  }

  /** Whether it has ended, or was given up. */
  get over(): boolean {
    return this.#over
  }

  /** To be called once. The outcome may be told before it returns. */
  start(transport: Transport, protocol: Protocol): void {
    const stop = this.#tls.keyring.whenPresent((update) => {
      if ('error' in update) return this.#noIdentity(update.error)
      try {
        this.#connect(transport, protocol)
      } catch (error) {
        // an address to come from that is none
        this.#failQuietly(error as Error)
      }
    })
    if (this.#socket === undefined && !this.#over) this.#stopWaiting = stop
  }

  #connect(transport: Transport, protocol: Protocol): void {
    this.#stopWaiting = undefined
    const { host, port } = this.#address
    const { clientContext: context, identity, generation } = this.#tls.keyring
    if (context === undefined || identity === undefined) return this.#noIdentity(undefined)
    this.generation = generation
    this.#notAfter = identity.notAfter
    let leaf: DetailedPeerCertificate | undefined
    const socket = connect({
      host,
      port,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
      noDelay: true,
      highWaterMark: HIGH_WATER_MARK,
      ...(transport as object),
      secureContext: context,
      ALPNProtocols: [protocol],
      // Node would end it before it could be said which certificate breaks which rule. It is judged at 'secureConnect', and `authorized` is asked.
      rejectUnauthorized: false,
      // Only asked when OpenSSL has found no fault. Kept no longer than for the judgement: it is 10 KB.
      checkServerIdentity: (_host: string, certificate: PeerCertificate) => {
        leaf = certificate as DetailedPeerCertificate
        return undefined
      },
    } as ConnectionOptions)
    this.#socket = socket
    this.#connected = transport.socket !== undefined
    socket.on('error', this.#onError).on('close', this.#onClose)
    socket
      .once('connect', () => (this.#connected = true))
      .once('secureConnect', () => {
        const chain = serverChain(leaf ?? socket.getPeerCertificate(true))
        leaf = undefined
        this.#judge(socket, protocol, chain)
      })
    this.#outcome.opened?.(socket)
  }

  #judge(socket: TLSSocket, protocol: Protocol, chain: readonly Uint8Array[]): void {
    const ids = expectedIds(this.#address, this.#tls)
    const verdict = this.#tls.keyring.verify(chain, { role: 'server', ids })
    if (verdict === undefined) return this.#noIdentity(undefined)
    const name = addressName(this.#address)
    if ('rule' in verdict) return this.#fail(verdict.rule, refusalError(name, verdict))
    // OpenSSL, too, must have found a way to a trust anchor
    if (!socket.authorized) {
      const text = `${name}: OpenSSL does not believe the certificate of ${verdict.id}: ${socket.authorizationError}`
      return this.#fail('untrusted', MeshError.refusal('INMESH_IDENTITY', text))
    }
    // by prior knowledge, as without TLS
    if (protocol === 'h2' && socket.alpnProtocol === false) (socket as { alpnProtocol: string }).alpnProtocol = protocol
    const outcome = this.#end()
    this.#tls.keyring.observer.handshakeEnded('client', 'ok', verdict.id)
    outcome.secured(socket, { id: verdict.id, notAfter: Math.min(verdict.notAfter, this.#notAfter) })
  }

  // === failing

  readonly #onError = (error: Error): void => {
    if (!this.#connected) return this.#failQuietly(error)
    const expected = expectedIds(this.#address, this.#tls).join(' or ')
    const found = handshakeProblem(addressName(this.#address), expected, error)
    this.#fail(found.result, found.error)
  }

  readonly #onClose = (): void => this.#onError(new Error('closed'))

  #noIdentity(cause: Error | undefined): void {
    const why = cause?.message ?? 'identity: it has expired'
    const text = `${addressName(this.#address)}: this process has no identity to show: ${why}`
    this.#fail('no_identity', MeshError.refusal('INMESH_IDENTITY', text, { cause }))
  }

  #fail(result: HandshakeResult, error: Error): void {
    this.#tls.keyring.observer.handshakeEnded('client', result, error.message)
    this.#failQuietly(error)
  }

  #failQuietly(error: Error): void {
    const outcome = this.#end()
    this.#socket?.destroy()
    outcome.failed(error)
  }

  /** Fails before it is begun. */
  refuse(error: Error): void {
    this.#failQuietly(error)
  }

  /** Gives it up. */
  giveUp(): void {
    if (this.#over) return
    this.#stopWaiting?.()
    this.#end()
    this.#socket?.destroy()
  }

  /**
   * Gives it up, as it took too long.
   *
   * @returns what it was waiting for; empty for the network
   */
  expire(): string {
    this.giveUp()
    if (this.#socket === undefined) return IDENTITY_AWAITED
    if (!this.#connected) return ''
    this.#tls.keyring.observer.handshakeEnded('client', 'timeout', `${addressName(this.#address)}: ${HANDSHAKE_AWAITED}`)
    return HANDSHAKE_AWAITED
  }

  /**
   * From here on, what the socket says is for whoever has it. An error that nobody hears must not end the process. Its options keep this object as
   * long as it lives, so that what waited for it is let go.
   *
   * @returns who is to be told
   */
  #end(): HandshakeOutcome {
    const outcome = this.#outcome
    this.#over = true
    this.#outcome = toldAlready
    this.#socket?.on('error', nothing).off('error', this.#onError).off('close', this.#onClose)
    return outcome
  }
}

const IDENTITY_AWAITED = "this process's own identity has not come from its source"
const HANDSHAKE_AWAITED = 'the TLS handshake was not answered'
const nothing = (): void => {}
const toldAlready: HandshakeOutcome = { secured: nothing, failed: nothing }
