import { AsyncResource } from 'node:async_hooks'
import type { SecureContext } from 'node:tls'
import type { Clock, Runtime, Timer } from '../core/clock.ts'
import { MeshError } from '../core/errors.ts'
import type { Identity, IdentitySourceFactory, IdentityUpdate } from '../core/identity.ts'
import { noTlsObserver, type TlsObserver } from '../core/tls-observer.ts'
import { BelievedCertificates } from './believed-certificates.ts'
import { type Credentials, makeCredentials } from './credentials.ts'
import type { Refusal } from './refusal.ts'
import type { PeerQuestion, VerifiedPeer, VerifierOptions } from './verify.ts'

/** How long a connection waits for the first identity, in milliseconds: a local CA takes some 50, a Workload API rarely more than 1,000. */
const WAIT_MS = 5_000
/** How many wait at most: as many as connections may be under way; more than these must not pile up in memory. */
const MAX_WAITING = 10_000

export interface KeyringParts {
  readonly runtime: Runtime
  /** Where the identity comes from. Watched from the first use on. */
  readonly source: IdentitySourceFactory
  /** Default: nobody. */
  readonly observer?: TlsObserver
  /** How peers are verified; the same revocations serve every identity. */
  readonly verifier?: VerifierOptions
}

/**
 * The identity in use, and what handshakes need of it. One a mesh, for its clients and its servers.
 *
 * - **idle** until the first use: whoever neither listens nor calls by TLS pays nothing.
 * - **waiting** until the source tells of an identity. Whoever needs one waits, or is told why there is none.
 * - **present**: each newer identity replaces all that was made of the one before. One that can't be used is an error, and the last one stays.
 * - **expired** when its time is over and no newer one has come: as waiting.
 * - **closed**: no identity, for good.
 */
export class Keyring {
  readonly observer: TlsObserver
  /** Counts identities: 0 before the first. A connection made under a smaller number is to be retired. */
  generation = 0
  readonly #parts: KeyringParts
  readonly #clock: Clock
  readonly #believed = new BelievedCertificates()
  readonly #listeners = new Set<() => void>()
  readonly #waiting = new Set<Waiting>()
  #credentials: Credentials | undefined
  #error: Error | undefined
  #stop: (() => void) | undefined
  /** Those that had expired when the source was watched anew. */
  #slept: Credentials | undefined
  #closed = false

  constructor(parts: KeyringParts) {
    this.#parts = parts
    this.#clock = parts.runtime.clock
    this.observer = parts.observer ?? noTlsObserver
  }

  /** The present identity; undefined while there is none, or when it has expired. */
  get identity(): Identity | undefined {
    return this.#present()?.identity
  }

  /** Why there is no identity, or no newer one; undefined when all is well. */
  get error(): Error | undefined {
    return this.#error
  }

  /** For a connection of this process to another, TLS 1.3 alone; undefined without an identity. The same object until the identity changes. */
  get clientContext(): SecureContext | undefined {
    return this.#present()?.clientContext
  }

  /** For a connection to this process, TLS 1.3 alone, without resumption; undefined without an identity. */
  get serverContext(): SecureContext | undefined {
    return this.#present()?.serverContext
  }

  /**
   * Whether the other end is to be believed by what is trusted now. About 0.15 ms, 0.02 for certificates that were believed before.
   *
   * @param chain as `peerChain` gives it
   * @returns undefined when this process has no trust of its own: believe nobody
   */
  verify(chain: readonly Uint8Array[], question: Omit<PeerQuestion, 'now'>): VerifiedPeer | Refusal | undefined {
    return this.#present()?.verifier.verify(chain, { ...question, now: this.#clock.wall() })
  }

  /**
   * Calls `done` once: with the identity, at once if there is one, or with the reason why there is none, after 5 s at most. A source that has
   * failed, and has told no identity since, fails at once.
   *
   * @returns a function that gives up waiting
   */
  whenPresent(done: (update: IdentityUpdate) => void): () => void {
    const identity = this.identity
    if (identity === undefined) this.#wake()
    const error = this.#refusesToWait()
    if (identity !== undefined) done({ identity })
    else if (error !== undefined) done({ error })
    else return this.#wait(done)
    return () => {}
  }

  /**
   * Calls `changed` after each new identity.
   *
   * @returns a function that stops
   */
  onChange(changed: () => void): () => void {
    const listener = () => changed()
    this.#listeners.add(listener)
    this.#start()
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Calls `changed` after each change of what is revoked.
   *
   * @returns a function that stops
   */
  onRevoked(changed: () => void): () => void {
    return this.#parts.verifier?.revocations?.onChange(changed) ?? (() => {})
  }

  /** Whether an identity is on the deny-list; costs nothing beside `verify`. */
  denies(id: string): boolean {
    return this.#parts.verifier?.revocations?.denies(id) === true
  }

  /** Forgets the identity and stops the source; whoever waits is told so. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#stop?.()
    this.#credentials = undefined
    this.#error = MeshError.refusal('INMESH_CLOSED', 'identity: the mesh is closed')
    this.#listeners.clear()
    this.#answer({ error: this.#error })
  }

  #present(): Credentials | undefined {
    this.#start()
    const credentials = this.#credentials
    return credentials !== undefined && this.#clock.wall() <= credentials.identity.notAfter ? credentials : undefined
  }

  #start(): void {
    if (this.#stop !== undefined || this.#closed) return
    this.#stop = () => {}
    try {
      this.#stop = this.#parts.source(this.#parts.runtime).watch((update) => this.#updated(update))
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /**
   * Watches the source anew, once for each identity that has expired: where a machine has slept or its calendar has jumped, the source's timers have not, and it
   * would notice a minute later.
   */
  #wake(): void {
    if (this.#credentials === this.#slept || this.#closed) return
    this.#slept = this.#credentials
    this.#stop?.()
    this.#stop = undefined
    this.#start()
  }

  // === what the source tells

  #updated(update: IdentityUpdate): void {
    if (this.#closed) return
    if ('error' in update) return this.#failed(update.error)
    try {
      this.#credentials = makeCredentials(update.identity, this.#parts.verifier, this.#believed)
    } catch (error) {
      return this.#failed(error as Error)
    }
    this.#error = undefined
    this.generation++
    this.observer.identityChanged(update.identity)
    this.#answer(update)
    for (const listener of this.#listeners) listener()
  }

  #failed(error: Error): void {
    this.#error = error
    this.observer.identityFailed(error)
    if (this.identity === undefined) this.#answer({ error })
  }

  // === those who wait

  #refusesToWait(): Error | undefined {
    if (this.#error !== undefined) return this.#error
    if (this.#waiting.size < MAX_WAITING) return undefined
    return MeshError.refusal('INMESH_IDENTITY', `identity: ${MAX_WAITING} connections already wait for the first one`)
  }

  #wait(done: (update: IdentityUpdate) => void): () => void {
    const giveUp = () => {
      waiting.timer.cancel()
      this.#waiting.delete(waiting)
    }
    const late = () => {
      giveUp()
      const text = this.#credentials === undefined ? 'none' : 'none that is still valid'
      done({ error: MeshError.refusal('INMESH_IDENTITY', `identity: ${text} came from its source within ${WAIT_MS} ms`) })
    }
    // whoever waits goes on in its own context, and not in that of whoever asked for an identity first
    const waiting: Waiting = { done: AsyncResource.bind(done), timer: this.#clock.hold(WAIT_MS, late) }
    this.#waiting.add(waiting)
    return giveUp
  }

  #answer(update: IdentityUpdate): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const { done, timer } of waiting) {
      timer.cancel()
      done(update)
    }
  }
}

interface Waiting {
  readonly done: (update: IdentityUpdate) => void
  readonly timer: Timer
}
