import type { Verdict } from '../../core/verdict.ts'

/** The longest `Retry-After` that is believed, in milliseconds: a server's mistake must not cost it its traffic for a day. */
const MAX_STAY_AWAY_MS = 300_000

/** How long the server asked us to stay away, up to 300 s, in milliseconds; 0 when it did not. */
export function stayAwayMs(verdict: Verdict): number {
  return Math.min(verdict.retryAfterMs, MAX_STAY_AWAY_MS)
}
