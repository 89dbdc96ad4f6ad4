import type { Runtime } from './clock.ts'
import type { Inbound, InboundReason, Refusal } from './inbound.ts'

/**
 * Decides whether a request may reach its handler: limits on load, on a client, later on who may call. One a mesh; O(1) a request, no
 * promise, no allocation unless it refuses.
 */
export interface Admission {
  /** False is shadow mode: what it refuses is counted and served. */
  readonly enforce: boolean
  /**
   * Never waits, and is not asked for exempt requests.
   *
   * @returns why not, or undefined when it may; it then holds a permit, if this admission has such
   */
  admit(inbound: Inbound, now: number): Refusal | undefined
  /**
   * Takes the permit back: exactly once for each request that was admitted, as soon as the head of its answer is written or it is over.
   * (Not at the last byte: a client that never reads, or an endless stream, must not hold a permit for ever.)
   *
   * @param reason `ok` and `error_status` are told by the status at the head; a refusal's reason when another admission refused it
   */
  release?(inbound: Inbound, now: number, reason: InboundReason): void
}

export type AdmissionFactory = (runtime: Runtime) => Admission
