import type { Clock, Timer } from '../core/clock.ts'
import type { Keyring } from '../tls/keyring.ts'
import type { SecureConnection } from './secure-connection.ts'

/** How often open connections are looked at, in milliseconds; one takes about 50 ns. */
const SWEEP_MS = 5_000
/** In how many looks all are told to go after a rotation: within a minute, and not all at once, for each comes back with a handshake. */
const SWEEPS = 12
/** At least this many a look. */
const MIN_LEAVING = 32
/** How long what is under way may outlive the identities that it was begun with, in milliseconds; then it is cut off. */
const OVERTIME_MS = 300_000

/**
 * The connections by TLS that are open, each asked anew in time:
 *
 * - **open -> leaving** when our identity has been replaced since (within a minute, by turns), or the certificate of either end has expired:
 *   HTTP/1.1 answers say `connection: close`, HTTP/2 sends GOAWAY. What is under way goes on.
 * - **-> closed** at once when the other end's identity is on the deny-list, and five minutes after the expiry whatever is under way.
 */
export class SecureConnections {
  readonly #keyring: Keyring
  readonly #clock: Clock
  readonly #open = new Set<SecureConnection>()
  readonly #unsubscribe: () => void
  #timer: Timer | undefined

  constructor(keyring: Keyring, clock: Clock) {
    this.#keyring = keyring
    this.#clock = clock
    this.#unsubscribe = keyring.onRevoked(() => this.#cutOffDenied())
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size
  }

  add(connection: SecureConnection): void {
    this.#open.add(connection)
    connection.socket.once('close', () => this.#open.delete(connection))
    this.#timer ??= this.#clock.after(SWEEP_MS, () => this.#sweep())
  }

  /** Looks no more. */
  close(): void {
    this.#unsubscribe()
    this.#timer?.cancel()
    this.#open.clear()
  }

  #cutOffDenied(): void {
    for (const { peer, socket } of this.#open) {
      if (peer !== undefined && this.#keyring.denies(peer.id)) socket.destroy()
    }
  }

  #sweep(): void {
    const wall = this.#clock.wall()
    let left = Math.max(MIN_LEAVING, Math.ceil(this.#open.size / SWEEPS))
    for (const connection of this.#open) {
      const { until, generation, socket, leaving } = connection
      if (wall > until + OVERTIME_MS) socket.destroy()
      else if (!leaving && (wall > until || (generation !== this.#keyring.generation && left-- > 0))) leave(connection)
    }
    this.#timer = this.#open.size === 0 ? undefined : this.#clock.after(SWEEP_MS, () => this.#sweep())
  }
}

function leave(connection: SecureConnection): void {
  connection.leaving = true
  connection.leave()
}
