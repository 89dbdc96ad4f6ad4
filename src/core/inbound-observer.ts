import type { Inbound, InboundReason, Refusal } from './inbound.ts'

/** `shadow`: the policy is not switched on; the request was served all the same, and only counted as one it would have refused. */
export type RefusalMode = 'enforced' | 'shadow'

/**
 * Looks on at the requests that this process serves. Annotates, never decides; must not throw. Every method runs per request. For each:
 * `requestStarted`, then `requestRefused` for each policy that refuses it or would have, then `requestEnded` exactly once.
 */
export interface InboundObserver {
  /** Its head is there. The route is not known yet. */
  requestStarted(inbound: Inbound): void
  /** A policy refuses it, or would have. */
  requestRefused(inbound: Inbound, refusal: Refusal, mode: RefusalMode): void
  /**
   * It is over: answered, refused or given up.
   *
   * @param status the HTTP status or the gRPC code of the answer; what it would have been when it never got one
   * @param elapsedMs from its head to the answer's last byte
   */
  requestEnded(inbound: Inbound, status: number, reason: InboundReason, elapsedMs: number): void
}
