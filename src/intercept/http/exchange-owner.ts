import type { Runtime } from '../../core/clock.ts'
import type { Exchange } from './exchange.ts'

/** What an exchange needs of the agent it belongs to. */
export interface ExchangeOwner {
  readonly name: string
  readonly runtime: Runtime
  /** Its request waits for a socket. */
  exchangeWaits(exchange: Exchange): void
  /** It does no longer. */
  exchangeGoes(exchange: Exchange): void
  exchangeEnded(): void
}
