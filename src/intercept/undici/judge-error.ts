import {
  ANSWER_TIMEOUT,
  BODY_FAILED,
  BROKEN_OFF,
  CONNECT_FAILED,
  CONNECT_TIMEOUT,
  MALFORMED,
  NOT_SENT,
  RESET,
  type Verdict,
} from '../../core/verdict.ts'

/**
 * How far an attempt had come when it failed.
 *
 * - `declined`: undici would not take it, as its arguments are wrong.
 * - `queued`: no byte was written.
 * - `sent`: the request was begun.
 * - `answering`: the answer's head was there.
 */
export type Progress = 'declined' | 'queued' | 'sent' | 'answering'

/** Judges a failure that undici reports. */
export function judgeError(error: unknown, progress: Progress): Verdict {
  const failure = (error ?? {}) as UndiciError
  const { code } = failure
  const word = typeof code === 'string' ? code : ''
  switch (progress) {
    case 'declined':
      return GONE.has(word) ? NOT_SENT : BODY_FAILED
    case 'queued':
      return judgeQueued(word)
    case 'sent':
      return judgeSent(failure, word)
    case 'answering':
      return judgeBegun(failure, word, BROKEN_OFF)
  }
}

interface UndiciError extends Error {
  readonly code?: unknown
  readonly http2ErrorCode?: number
}

function judgeQueued(code: string): Verdict {
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') return CONNECT_TIMEOUT
  if (CALLERS.has(code)) return BODY_FAILED
  return GONE.has(code) || code === 'UND_ERR_SOCKET' ? NOT_SENT : CONNECT_FAILED
}

function judgeSent(error: UndiciError, code: string): Verdict {
  // undici moves a refused HTTP/2 stream to another connection by itself, and that one may not come about
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return CONNECT_TIMEOUT
  if (NEVER_CONNECTED.has(code) || NOT_ADMITTED.test(code)) return CONNECT_FAILED
  if (error.http2ErrorCode === REFUSED_STREAM) return NOT_SENT
  // the streams above a GOAWAY's last, and those that could not begin because of it: undici has no code of their own for them
  if (code.startsWith('UND_ERR_') && UNSEEN.test(error.message)) return NOT_SENT
  return judgeBegun(error, code, RESET)
}

function judgeBegun({ name, message }: UndiciError, code: string, lost: Verdict): Verdict {
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return ANSWER_TIMEOUT
  if (LOST.has(code) || code.startsWith('ERR_HTTP2') || code.startsWith('ERR_SSL_')) return lost
  // undici means to give the parser's errors a code, but they come without
  if (name === 'HTTPParserError') return message?.includes('Invalid EOF state') ? lost : MALFORMED
  return code === 'UND_ERR_HEADERS_OVERFLOW' ? MALFORMED : BODY_FAILED
}

/** RFC 9113 section 7. */
const REFUSED_STREAM = 7
const UNSEEN = /^HTTP\/2: (?:"GOAWAY" frame received|"frameError" received - type 1,)/

/** The endpoint's connections were closed by us. */
const GONE: ReadonlySet<string> = new Set(['UND_ERR_DESTROYED', 'UND_ERR_CLOSED'])

/** What undici refuses to write, found out only when it is about to. */
const CALLERS: ReadonlySet<string> = new Set([
  'UND_ERR_INVALID_ARG',
  'UND_ERR_NOT_SUPPORTED',
  'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
])

const NEVER_CONNECTED: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'INMESH_IDENTITY'])

/**
 * What a TLS server says to a certificate that it doesn't take. By TLS 1.3 the client hears of it only after its own part of the handshake is over,
 * when a request may be written already; none was read (RFC 8446 sections 4.4 and 6.2).
 */
const NOT_ADMITTED =
  /^ERR_SSL_(?:SSL|TLS)V\d+_ALERT_(?:BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_(?:REVOKED|EXPIRED|UNKNOWN|REQUIRED)|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)$/

/** The connection went away. Any other code after the request was begun comes from the caller: its body, its abort, its callbacks. */
const LOST: ReadonlySet<string> = new Set([
  'UND_ERR_SOCKET',
  'UND_ERR_INFO',
  'UND_ERR_DESTROYED',
  'UND_ERR_CLOSED',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_RES_EXCEEDED_MAX_SIZE',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
])
