import type { TLSSocket } from 'node:tls'
import type { Timer } from '../core/clock.ts'
import { type Address, addressName, type Endpoint } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { refusalError, type VerifiedPeer } from '../tls/verify.ts'
import { Handshake, type HandshakeOutcome, type Protocol, type Transport } from './handshake.ts'
import { expectedIds, type MeshTls } from './mesh-tls.ts'
import { serverChain } from './server-chain.ts'

/**
 * A new identity has all connections renewed within this time, in milliseconds, at random: a process with a thousand endpoints has then some 30
 * handshakes a second to make, and not a thousand at once. Never more than half of the time for which the old ones are valid.
 */
const SPREAD_MS = 30_000
/** Connections are renewed when this share of their certificates' time is over, both ends': by then each end has a newer one ... */
const WORN = 0.75
/** ... or a bit later, at random. */
const WORN_SPREAD = 0.15
/** No sooner than this after they were made, in milliseconds, even if the other end shows certificates of seconds. */
const SHORTEST_MS = 500
/** A timer can't be set for longer; in milliseconds. */
const LONGEST_MS = 2 ** 31 - 1
/** Revocation lists are looked up within this time, in milliseconds: it takes a third of one for each connection. */
const LOOK_UP_MS = 1_000

/**
 * The secured connections to one endpoint: makes them, and says when they are to be made anew. In flight, nothing is lost by that.
 *
 * - **renewed** when this process has a new identity, and before a certificate that one was made with expires: `renew` is called.
 * - **cut** at once when the other end's identity is revoked.
 */
export class SecuredEndpoint {
  readonly #address: Address
  readonly #tls: MeshTls
  readonly #renew: () => void
  readonly #told: Told | undefined
  readonly #live = new Map<TLSSocket, Live>()
  readonly #stops: readonly (() => void)[]
  /** Counts renewals. */
  #round = 0
  /** When the first of the round's certificates ceases to be valid, in milliseconds since 1970. */
  #notAfter = Number.POSITIVE_INFINITY
  #timer: Timer | undefined
  #dueAt = 0
  #lookUp: Timer | undefined
  #closed = false

  /**
   * @param renew is to see that the present connections take no more requests and close after those they have
   * @param told learns whom the other end proves to be
   */
  constructor(address: Address, tls: MeshTls, renew: () => void, told?: Told) {
    this.#address = address
    this.#tls = tls
    this.#renew = renew
    this.#told = told
    const { keyring } = tls
    this.#stops = [keyring.onChange(() => this.#changed()), keyring.onRevoked(() => this.#revoked())]
  }

  /** Makes a connection. The outcome may be told before this returns. */
  dial(transport: Transport, protocol: Protocol, outcome: HandshakeOutcome): Handshake {
    const handshake = new Handshake(this.#address, this.#tls, {
      ...(outcome.opened === undefined ? {} : { opened: (socket: TLSSocket) => outcome.opened?.(socket) }),
      secured: (socket, peer) => {
        this.#secured(socket, peer, handshake.generation)
        outcome.secured(socket, peer)
      },
      failed: (error) => outcome.failed(error),
    })
    if (expectedIds(this.#address, this.#tls).length > 0) handshake.start(transport, protocol)
    else handshake.refuse(strictError(this.#address, this.#tls))
    return handshake
  }

  /** Whether a connection was made before the last renewal, and is to close when it is free. */
  isWorn(socket: unknown): boolean {
    const live = this.#live.get(socket as TLSSocket)
    return live !== undefined && live.round < this.#round
  }

  #secured(socket: TLSSocket, { id, notAfter }: VerifiedPeer, generation: number): void {
    this.#live.set(socket, { id, round: this.#round })
    if (this.#told !== undefined) this.#told.identity = id
    socket.once('close', () => {
      this.#live.delete(socket)
      if (this.#closed) this.#stopWhenEmpty()
    })
    if (this.#closed) return
    const { keyring, runtime } = this.#tls
    this.#notAfter = Math.min(this.#notAfter, notAfter)
    this.#renewIn(Math.max(SHORTEST_MS, this.#leftMs * (WORN + WORN_SPREAD * runtime.random())))
    // there is a newer identity since it was begun
    if (generation !== keyring.generation) this.#changed()
  }

  // === renewal

  #changed(): void {
    if (this.#live.size > 0 && !this.#closed)
      this.#renewIn(Math.min(SPREAD_MS, Math.max(0, this.#leftMs) / 2) * this.#tls.runtime.random())
  }

  get #leftMs(): number {
    return this.#notAfter - this.#tls.runtime.clock.wall()
  }

  #renewIn(ms: number): void {
    const { clock } = this.#tls.runtime
    const bounded = Math.min(ms, LONGEST_MS)
    const dueAt = clock.now() + bounded
    if (this.#timer !== undefined && this.#dueAt <= dueAt) return
    this.#timer?.cancel()
    this.#dueAt = dueAt
    this.#timer = clock.after(bounded, () => this.#due())
  }

  #due(): void {
    this.#timer = undefined
    this.#notAfter = Number.POSITIVE_INFINITY
    this.#round++
    if (this.#live.size > 0) this.#renew()
  }

  // === revocation

  #revoked(): void {
    const { keyring, runtime } = this.#tls
    for (const [socket, { id }] of this.#live) if (keyring.denies(id)) this.#cut(socket)
    this.#lookUp ??= runtime.clock.after(LOOK_UP_MS * runtime.random(), () => {
      this.#lookUp = undefined
      for (const socket of this.#live.keys()) this.#cut(socket)
    })
  }

  /** Cuts a connection if the other end is no longer believed. */
  #cut(socket: TLSSocket): void {
    const verdict = this.#tls.keyring.verify(serverChain(socket.getPeerCertificate(true)), { role: 'server' })
    if (verdict === undefined || !('rule' in verdict) || verdict.rule !== 'revoked') return
    const { message } = refusalError(addressName(this.#address), verdict)
    // what was under way may have been processed: a connection lost, not one that never came about
    socket.destroy(Object.assign(new Error(message), { code: 'ECONNABORTED' }))
  }

  // === the end

  /** The endpoint is left, or its connections are: no more renewals. Those that are there can still be cut. Idempotent. */
  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#stopWhenEmpty()
  }

  #stopWhenEmpty(): void {
    if (this.#live.size > 0) return
    this.#lookUp?.cancel()
    for (const stop of this.#stops) stop()
  }
}

interface Live {
  /** Whom the other end has proved to be. */
  readonly id: string
  /** In which it was made. */
  readonly round: number
}

/** Where it is noted for telemetry how connections are made, and to whom. */
type Told = Pick<Endpoint, 'secured' | 'identity'>

/**
 * What secures the connections to an endpoint.
 *
 * @param told learns whether they are secured, and whom the other end proves to be
 * @returns undefined when they are made in plaintext
 */
export function securedEndpoint(
  address: Address,
  tls: MeshTls | undefined,
  renew: () => void,
  told?: Told,
): SecuredEndpoint | undefined {
  const secures = tls !== undefined && (tls.strict || expectedIds(address, tls).length > 0)
  if (told !== undefined) told.secured = secures
  return secures ? new SecuredEndpoint(address, tls, renew, told) : undefined
}

function strictError(address: Address, { service }: MeshTls): MeshError {
  const remedy = 'give its entry in discovery an identity, allow identities for the service, or take `strict` off it'
  return MeshError.refusal(
    'INMESH_IDENTITY',
    `${addressName(address)} has no identity and the service ${service} is strict: ${remedy}`,
  )
}
