/**
 * How long an answer's `Retry-After` asks us to stay away (RFC 9110 section 10.2.3).
 *
 * A date is compared with the answer's own `Date`, never with our clock: two machines' clocks need not agree.
 *
 * @param value the header: seconds, or an HTTP date
 * @param date the answer's `Date` header
 * @returns milliseconds; 0 when absent, past or malformed
 */
export function retryAfterMs(
  value: string | readonly string[] | undefined,
  date: string | readonly string[] | undefined,
): number {
  if (typeof value !== 'string') return 0
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000
  if (!HTTP_DATE.test(value)) return 0
  const ms = Date.parse(value) - (typeof date === 'string' ? Date.parse(date) : Number.NaN)
  return ms > 0 ? ms : 0
}

/** All three forms begin with the day's name (RFC 9110 section 5.6.7); `Date.parse` alone makes a year of `-1`. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? /
