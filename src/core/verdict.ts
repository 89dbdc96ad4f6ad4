/**
 * What became of an attempt or a call, judged once at the door and read by everyone: breaker, load meter, retry policy
 * and metrics. The constants below are shared; only an answer with `Retry-After` gets a verdict of its own.
 */
export interface Verdict {
  /**
   * - `success`: the service did its work (for HTTP any status below 500 except 429).
   * - `failure`: it did not.
   * - `overload`: it refused because it has too much to do (429, RESOURCE_EXHAUSTED).
   * - `ignored`: says nothing of the endpoint; the caller left, or the caller's own body failed.
   */
  readonly outcome: Outcome
  /**
   * - `never`: it was processed, or sending it again cannot help.
   * - `idempotent`: may have been processed; may be sent again if the call is idempotent.
   * - `safe`: certainly never reached the server's application; may always be sent again.
   */
  readonly resend: Resend
  /** Why, from one closed list: the same word in errors, metrics and events. */
  readonly reason: Reason
  /** How long the server asked us to stay away, in milliseconds; 0 when it did not. */
  readonly retryAfterMs: number
}

export type Outcome = 'success' | 'failure' | 'overload' | 'ignored'
export type Resend = 'never' | 'idempotent' | 'safe'

/** The closed list of reasons. The order is that of the series in the metrics: append only. */
export const REASONS = [
  'ok',
  'error_status',
  'unavailable',
  'overloaded',
  'connect_failed',
  'connect_timeout',
  'not_sent',
  'reset',
  'broken_off',
  'malformed',
  'try_timeout',
  'timeout',
  'answer_timeout',
  'cancelled',
  'body_failed',
  'no_endpoint',
  'refused',
  'breaker_open',
  'closed',
] as const

export type Reason = (typeof REASONS)[number]

function verdict(reason: Reason, outcome: Outcome, resend: Resend): Verdict {
  return Object.freeze({ outcome, resend, reason, retryAfterMs: 0 })
}

/** An answer that counts as a success. */
export const OK = verdict('ok', 'success', 'never')
/** A status of 500 or above that another attempt would not mend. */
export const ERROR_STATUS = verdict('error_status', 'failure', 'never')
/** 502, 503 or 504; gRPC UNAVAILABLE. */
export const UNAVAILABLE = verdict('unavailable', 'failure', 'idempotent')
/** 429; gRPC RESOURCE_EXHAUSTED. */
export const OVERLOADED = verdict('overloaded', 'overload', 'idempotent')
/** No connection: refused, unreachable, handshake failed. */
export const CONNECT_FAILED = verdict('connect_failed', 'failure', 'safe')
/** No connection within `connectTimeoutMs`. */
export const CONNECT_TIMEOUT = verdict('connect_timeout', 'failure', 'safe')
/** The connection went away before a byte of the request was written; REFUSED_STREAM, an unseen GOAWAY. */
export const NOT_SENT = verdict('not_sent', 'failure', 'safe')
/** The connection was lost after the request was begun and before the whole head of an answer was there. */
export const RESET = verdict('reset', 'failure', 'idempotent')
/** The answer began and then broke off. Never resent: the application already holds its beginning. */
export const BROKEN_OFF = verdict('broken_off', 'failure', 'never')
/** What came is not HTTP. */
export const MALFORMED = verdict('malformed', 'failure', 'never')
/** No answer within `perTryTimeoutMs`. */
export const TRY_TIMEOUT = verdict('try_timeout', 'failure', 'idempotent')
/** The call's whole time is spent. */
export const TIMEOUT = verdict('timeout', 'failure', 'never')
/** The application's own undici `headersTimeout` or `bodyTimeout` passed. */
export const ANSWER_TIMEOUT = verdict('answer_timeout', 'failure', 'never')
/** It refused for want of capacity before it did anything (`x-envoy-overloaded`): another endpoint may have some. */
export const SHED = verdict('overloaded', 'overload', 'safe')
/** The caller left. */
export const CANCELLED = verdict('cancelled', 'ignored', 'never')
/** The caller's own request body, or the handling of the answer, failed. */
export const BODY_FAILED = verdict('body_failed', 'ignored', 'never')
/** The service has no endpoint that could be asked. */
export const NO_ENDPOINT = verdict('no_endpoint', 'failure', 'never')
/** Every endpoint's gate, or the waiting room, refused. */
export const REFUSED = verdict('refused', 'failure', 'never')
/** The service's own breaker is open. */
export const BREAKER_OPEN = verdict('breaker_open', 'failure', 'never')
/** The mesh is closed. */
export const CLOSED = verdict('closed', 'ignored', 'never')

/**
 * Judges an HTTP status. 4xx is the caller's fault and a success of the service, as in Linkerd.
 *
 * @param retryAfterMs what the answer's `Retry-After` asks, in milliseconds; 0 for none
 * @param shed the server says that it turned the request away for load and did nothing
 */
export function judgeStatus(status: number, retryAfterMs = 0, shed = false): Verdict {
  if (shed && (status === 503 || status === 429)) return retryAfterMs > 0 ? { ...SHED, retryAfterMs } : SHED
  if (status < 500 && status !== 429) return OK
  if (status === 429) return retryAfterMs > 0 ? { ...OVERLOADED, retryAfterMs } : OVERLOADED
  if (status === 502 || status === 503 || status === 504) return retryAfterMs > 0 ? { ...UNAVAILABLE, retryAfterMs } : UNAVAILABLE
  return ERROR_STATUS
}
