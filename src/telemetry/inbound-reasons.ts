import { INBOUND_REASONS, type InboundReason } from '../core/inbound.ts'
import type { Outcome } from '../core/verdict.ts'
import type { ReasonList } from './traffic.ts'

/** What a reason says of this process as a server. Where the caller left or may not ask, nothing; where it was refused for load, that it has too much to do. */
const OUTCOMES: Readonly<Record<InboundReason, Outcome>> = {
  ok: 'success',
  error_status: 'failure',
  cancelled: 'ignored',
  timeout: 'failure',
  broken_off: 'failure',
  deadline_passed: 'failure',
  overloaded: 'overload',
  rate_limited: 'overload',
  draining: 'failure',
  unauthorized: 'ignored',
}

/** Those that are over without the handler's doing: quick refusals would make a busy server look like a fast one. */
const UNTIMED: ReadonlySet<InboundReason> = new Set([
  'cancelled',
  'deadline_passed',
  'overloaded',
  'rate_limited',
  'draining',
  'unauthorized',
])

/** Those of the requests that this process serves. */
export const SERVED_REASONS: ReasonList = {
  words: INBOUND_REASONS,
  outcomes: INBOUND_REASONS.map((reason) => OUTCOMES[reason]),
  timed: Uint8Array.from(INBOUND_REASONS, (reason) => (UNTIMED.has(reason) ? 0 : 1)),
}

/** The index of a reason in INBOUND_REASONS. */
export function inboundReasonIndex(reason: InboundReason): number {
  return reason === 'ok' ? 0 : (INDEXES.get(reason) as number)
}

const INDEXES: ReadonlyMap<InboundReason, number> = new Map(INBOUND_REASONS.map((reason, i) => [reason, i]))
