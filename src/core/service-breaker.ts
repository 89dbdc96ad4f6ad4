import type { Call } from './call.ts'
import type { Runtime } from './clock.ts'
import type { MeshError } from './errors.ts'
import type { Verdict } from './verdict.ts'

/**
 * Decides whether a call to a service may begin at all. Stands above the balancer, around the whole call with all of its attempts; one a
 * service. None by default, and then nothing is paid for it.
 */
export interface ServiceBreaker {
  /** Asks for a call. Never waits; undefined when refused. */
  admit(): CallPermit | undefined
  /**
   * What a refused call is answered with; undefined for the error. Never throws: what goes wrong while answering becomes
   * the cause of the error.
   */
  answer(call: Call, error: MeshError): FallbackAnswer | undefined
  /** `open` refuses, `half-open` lets one call through to see. */
  readonly state: 'closed' | 'open' | 'half-open'
  /** Stops its timers; from then on it admits everything. Idempotent. */
  close(): void
}

/** A call that was admitted. */
export interface CallPermit {
  /** The call is over; exactly once, with the verdict that the caller saw. */
  end(verdict: Verdict): void
}

/** An answer made here, in place of the service's. */
export interface FallbackAnswer {
  /** 200 to 599. */
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
}

export type ServiceBreakerFactory = (runtime: Runtime) => ServiceBreaker
