import type { HeaderValue } from './context-headers.ts'

/**
 * The headers that say which trace a request is part of (W3C Trace Context, levels 1 and 2). They are passed on as they came, which the recommendation allows to
 * whoever makes no spans of its own; what is malformed is not passed on.
 */

/** Version, trace id, id of the caller's span, flags. */
export const TRACEPARENT_HEADER = 'traceparent'
/** What tracing systems add to it for themselves. Means nothing without `traceparent`. */
export const TRACESTATE_HEADER = 'tracestate'

/** Version 00 has this length and no other; later versions may go on after a dash. In characters. */
const LENGTH = 55
/** What a later version may come to: several times what any has proposed. In characters. */
const MAX_LENGTH = 256
/** What the recommendation asks everybody to pass on (3.3.1.5). In characters. */
const MAX_STATE_LENGTH = 512

/** In lower case; version ff and ids of zeros are invalid (3.2.2). */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}$/
const MORE = /^-[!-~]*$/
/** Printable ASCII, and something of it: all that gRPC's metadata can hold. */
const STATE = /^[ -~]*[!-~][ -~]*$/

/**
 * Reads `traceparent`. About 100 ns; nothing when there is none.
 *
 * @returns the header as it came; empty when it is malformed, came twice or not at all
 */
export function readTraceparent(value: HeaderValue): string {
  if (typeof value !== 'string' || value.length < LENGTH) return ''
  if (value.length === LENGTH) return TRACEPARENT.test(value) ? value : ''
  const isLater = value.length <= MAX_LENGTH && !value.startsWith('00')
  return isLater && TRACEPARENT.test(value.slice(0, LENGTH)) && MORE.test(value.slice(LENGTH)) ? value : ''
}

/**
 * Reads `tracestate`: up to 512 characters of printable ASCII. Its members are opaque here.
 *
 * @returns the header as it came; empty when it is malformed, too long, or not there
 */
export function readTracestate(value: HeaderValue): string {
  return typeof value === 'string' && value.length <= MAX_STATE_LENGTH && STATE.test(value) ? value : ''
}

/** The trace's id, 32 hexadecimal digits, of what `readTraceparent` has returned; empty for empty. */
export function traceIdOf(traceparent: string): string {
  return traceparent.slice(3, 35)
}
