import { BROKEN_OFF, MALFORMED, RESET, type Verdict } from '../../core/verdict.ts'

/**
 * Judges an error that a request met on its connection, other than the caller's own.
 *
 * @param answering the answer's head was there
 */
export function judgeError(error: Error, answering: boolean): Verdict {
  const { code } = error as { code?: unknown }
  if (typeof code === 'string' && code.startsWith('HPE_')) return MALFORMED
  return answering ? BROKEN_OFF : RESET
}
