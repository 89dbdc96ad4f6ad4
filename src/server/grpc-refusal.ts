import { OVERLOADED_HEADER, RATE_LIMITED_HEADER } from '../core/context-headers.ts'
import type { Refusal, RefusalReason } from '../core/inbound.ts'

/** What a refusal is in gRPC. */
export interface RefusalStatus {
  readonly code: number
  /** Trailers. */
  readonly headers: Readonly<Record<string, string>>
}

/** By this trailer a server tells when to come again, in milliseconds (gRFC A6). */
const PUSHBACK_HEADER = 'grpc-retry-pushback-ms'

/** A code and trailers: `x-envoy-overloaded` and `x-envoy-ratelimited` say that the call was certainly not processed. */
export function refusalStatus({ reason, retryAfterMs }: Refusal): RefusalStatus {
  const answer = ANSWERS[reason]
  if (retryAfterMs <= 0) return answer
  return { code: answer.code, headers: { ...answer.headers, [PUSHBACK_HEADER]: String(Math.ceil(retryAfterMs)) } }
}

const DEADLINE_EXCEEDED = 4
const PERMISSION_DENIED = 7
const RESOURCE_EXHAUSTED = 8
const UNAVAILABLE = 14

const ANSWERS: Readonly<Record<RefusalReason, RefusalStatus>> = {
  deadline_passed: { code: DEADLINE_EXCEEDED, headers: {} },
  overloaded: { code: UNAVAILABLE, headers: { [OVERLOADED_HEADER]: 'true' } },
  rate_limited: { code: RESOURCE_EXHAUSTED, headers: { [RATE_LIMITED_HEADER]: 'true' } },
  draining: { code: UNAVAILABLE, headers: { [OVERLOADED_HEADER]: 'true' } },
  unauthorized: { code: PERMISSION_DENIED, headers: {} },
}
