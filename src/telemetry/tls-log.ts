import { channel } from 'node:diagnostics_channel'
import type { Clock } from '../core/clock.ts'
import { printable } from '../core/printable.ts'
import { RareWarnings } from '../core/rare-warnings.ts'
import type { HandshakeResult, HandshakeSide, TlsObserver } from '../core/tls-observer.ts'

/** What `diagnostics_channel.subscribe('inmesh:handshake', ...)` is told of each TLS handshake that failed. */
export interface FailedHandshake {
  /** The part that this process played. */
  readonly side: HandshakeSide
  readonly result: HandshakeResult
  /** Who it was with, why it failed and what to do about it, on one line of at most 1000 characters. Others may have chosen parts of it. */
  readonly message: string
}

/** What `diagnostics_channel.subscribe('inmesh:identity', ...)` is told each time that this process could have no newer identity. */
export interface FailedIdentity {
  /** As above. */
  readonly message: string
}

/** Of a certificate's names a message may hold some 3 KB; the address and the rule stand at its beginning. */
const MAX_MESSAGE = 1_000

const handshakes = channel('inmesh:handshake')
const identities = channel('inmesh:identity')

/**
 * Tells why handshakes fail, which the other end is not told, and why there is no newer identity: each by a channel, at no cost while nobody listens, and by a
 * warning of the process, once a minute for each side and result with how many there were. What was merely broken off is told by the channel alone.
 */
export class TlsLog implements TlsObserver {
  readonly #handshakes: Readonly<Record<HandshakeSide, RareWarnings<HandshakeResult>>>
  readonly #identities: RareWarnings<'identity'>
  /** This process has had an identity. */
  #isKnown = false

  constructor(clock: Clock) {
    this.#handshakes = {
      client: new RareWarnings(clock, 'INMESH_HANDSHAKE'),
      server: new RareWarnings(clock, 'INMESH_HANDSHAKE'),
    }
    this.#identities = new RareWarnings(clock, 'INMESH_IDENTITY')
  }

  handshakeEnded(side: HandshakeSide, result: HandshakeResult, message: string): void {
    if (result === 'ok') return
    if (handshakes.hasSubscribers) handshakes.publish({ side, result, message: line(message) } satisfies FailedHandshake)
    // whoever ends or drains breaks some off, which is no more than a connection refused; metrics and channel have them
    if (result === 'broken_off') return
    this.#handshakes[side].warn(result, () => `TLS handshake as ${side} failed (${result}): ${line(message)}`)
  }

  identityFailed({ message }: Error): void {
    if (identities.hasSubscribers) identities.publish({ message: line(message) } satisfies FailedIdentity)
    this.#identities.warn('identity', () => `${this.#isKnown ? 'no newer identity' : 'no identity'}: ${line(message)}`)
  }

  connectionAccepted(): void {}

  identityChanged(): void {
    this.#isKnown = true
  }
}

function line(message: string): string {
  const text = printable(message.slice(0, MAX_MESSAGE))
  return text.length > MAX_MESSAGE || message.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 3)}...` : text
}
