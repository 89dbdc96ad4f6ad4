import type { Call } from '../core/call.ts'
import { GRPC_CODES } from '../core/grpc-codes.ts'
import type { Reason, Verdict } from '../core/verdict.ts'

/** A call as a door may describe it that knows more than one protocol. */
export interface ProtocolCall extends Call {
  /** `http` when it doesn't say. */
  readonly protocol?: 'http' | 'grpc'
  /** The gRPC status code that the application was given; below 0 when there is none yet. */
  readonly statusCode?: number
}

/** Codes that gRPC doesn't know are to be taken for UNKNOWN. */
export function knownCode(code: number): number {
  return GRPC_CODES[code] === undefined ? UNKNOWN : code
}

/** The status code that a call or an attempt ended with: what its door says of it, else what its verdict comes closest to. */
export function codeOf(code: number | undefined, verdict: Verdict): number {
  return code === undefined || code < 0 ? CODE_OF[verdict.reason] : knownCode(code)
}

const UNKNOWN = 2
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14

const CODE_OF: Readonly<Record<Reason, number>> = {
  ok: 0,
  error_status: UNKNOWN,
  unavailable: UNAVAILABLE,
  overloaded: 8,
  connect_failed: UNAVAILABLE,
  connect_timeout: UNAVAILABLE,
  not_sent: UNAVAILABLE,
  reset: UNAVAILABLE,
  broken_off: UNAVAILABLE,
  malformed: 13,
  try_timeout: DEADLINE_EXCEEDED,
  timeout: DEADLINE_EXCEEDED,
  answer_timeout: DEADLINE_EXCEEDED,
  cancelled: 1,
  body_failed: UNKNOWN,
  no_endpoint: UNAVAILABLE,
  refused: UNAVAILABLE,
  breaker_open: UNAVAILABLE,
  closed: UNAVAILABLE,
}
