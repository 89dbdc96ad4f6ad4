/**
 * The headers by which the context of a request travels between processes: how long the caller still waits, the number of the attempt,
 * and the caller's name. All come from outside, so each is read by a rule that a hostile value can't stretch.
 */

/** How much of the caller's patience is left, in whole milliseconds. Remaining time travels, not a date: clocks are never compared. */
export const TIME_LEFT_HEADER = 'x-envoy-expected-rq-timeout-ms'
/** The same in gRPC's grammar. */
export const GRPC_TIMEOUT_HEADER = 'grpc-timeout'
/** From 1; above 1 the request is a resend. */
export const ATTEMPT_HEADER = 'x-envoy-attempt-count'
/** The caller's service. */
export const CALLER_HEADER = 'x-envoy-downstream-service-cluster'
/** On an answer: refused for load and certainly not processed, so it may be sent elsewhere. */
export const OVERLOADED_HEADER = 'x-envoy-overloaded'
/** On an answer: refused by a rate limit. */
export const RATE_LIMITED_HEADER = 'x-envoy-ratelimited'
/** On an answer: this process is about to leave; send no more. */
export const LEAVING_HEADER = 'x-envoy-immediate-health-check-fail'

/** A timer's limit; whoever says more waits as good as for ever. */
const MAX_MS = 2_147_483_647

/** A header as Node gives it: some that come twice are arrays, others are joined by `, `. */
export type HeaderValue = string | readonly string[] | undefined

/**
 * Reads `x-envoy-expected-rq-timeout-ms`: 1 to 15 digits, at most 2^31-1 counts. Anything else (a sign, a fraction, text, a header
 * that came twice) is no deadline.
 *
 * @returns milliseconds, 0 when the time is spent, Infinity when there is no deadline
 */
export function readTimeLeft(value: HeaderValue): number {
  if (typeof value !== 'string') return Number.POSITIVE_INFINITY
  const ms = digits(value, 15)
  return ms < 0 ? Number.POSITIVE_INFINITY : Math.min(ms, MAX_MS)
}

/**
 * Reads `grpc-timeout`: 1 to 8 digits and a unit, `H M S m u n` (gRPC over HTTP/2, "Requests"). Anything else is no deadline; at most
 * 2^31-1 milliseconds count.
 *
 * @returns milliseconds with fractions, Infinity when there is no deadline
 */
export function readGrpcTimeout(value: HeaderValue): number {
  if (typeof value !== 'string' || value.length < 2) return Number.POSITIVE_INFINITY
  const amount = digits(value.slice(0, -1), 8)
  const unit = UNITS[value.charAt(value.length - 1)]
  return amount < 0 || unit === undefined ? Number.POSITIVE_INFINITY : Math.min(amount * unit, MAX_MS)
}

/** Milliseconds. */
const UNITS: Readonly<Record<string, number | undefined>> = Object.assign(Object.create(null), {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
})

/** Reads `x-envoy-attempt-count`: 1 to 999; anything else is 1. */
export function readAttempt(value: HeaderValue): number {
  if (typeof value !== 'string') return 1
  return Math.max(1, digits(value, 3))
}

/** Reads `x-envoy-downstream-service-cluster`: 1 to 128 letters, digits, `.`, `_`, `-`, `/` or `:`; anything else is nobody. */
export function readCaller(value: HeaderValue): string {
  if (typeof value !== 'string' || value.length > 128) return ''
  for (let i = 0; i < value.length; i++) if (!isNameCode(value.charCodeAt(i))) return ''
  return value
}

/** The number that a text of at most `most` digits is; -1 when it is anything else. */
function digits(text: string, most: number): number {
  const { length } = text
  if (length === 0 || length > most) return -1
  let number = 0
  for (let i = 0; i < length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return number
}

/** `-` to `:` are `- . / 0-9 :`. */
function isNameCode(code: number): boolean {
  return (code >= 45 && code <= 58) || (code >= 97 && code <= 122) || (code >= 65 && code <= 90) || code === 95
}
