import { type Metadata, status as Status, type StatusObject } from '@grpc/grpc-js'
import { OVERLOADED_HEADER } from '../../core/context-headers.ts'
import {
  BODY_FAILED,
  CONNECT_FAILED,
  ERROR_STATUS,
  NOT_SENT,
  OK,
  OVERLOADED,
  RESET,
  SHED,
  UNAVAILABLE,
  type Verdict,
} from '../../core/verdict.ts'

/** How far an attempt got: no stream was opened, one was, or the server has begun to answer on it. */
export type Progress = 'unsent' | 'sent' | 'answering'

/**
 * Judges a status that a server sent. What is the caller's fault is a success of the service, as a 4xx is; a message beyond a size limit
 * is the caller's fault, too.
 *
 * @param pushbackMs what the server asks for by `grpc-retry-pushback-ms`; negative: not again
 */
export function judgeGrpcStatus(code: number, details = '', pushbackMs: number | undefined = undefined): Verdict {
  switch (code) {
    case Status.UNAVAILABLE:
      return pushedBack(UNAVAILABLE, pushbackMs)
    case Status.RESOURCE_EXHAUSTED:
      return TOO_LARGE.test(details) ? OK : pushedBack(OVERLOADED, pushbackMs)
    case Status.UNKNOWN:
    case Status.DEADLINE_EXCEEDED:
    case Status.INTERNAL:
    case Status.DATA_LOSS:
      return ERROR_STATUS
    default:
      return Status[code] === undefined ? ERROR_STATUS : OK
  }
}

/**
 * Judges how an attempt ended. grpc-js knows whether anything was sent, but doesn't pass it on with the status, so `unsent` is for the
 * caller to find out; the rest is read from what grpc-js makes itself, which unlike any server's answer comes without metadata.
 */
export function judgeAttempt(status: StatusObject, progress: Progress): Verdict {
  const { code, details } = status
  if (code === Status.OK) return OK
  if (progress === 'unsent') return judgeUnsent(code, details)
  if (progress === 'sent' && LOST.has(code) && isOurs(status)) return isRefused(details) ? NOT_SENT : RESET
  const pushback = pushbackMs(status.metadata)
  return isShed(status) ? pushedBack(SHED, pushback) : judgeGrpcStatus(code, details, pushback)
}

/** Whether grpc-js made the status: the connection failed, and no server said anything. */
export function isOurs({ metadata }: StatusObject): boolean {
  return Object.keys(metadata.getMap()).length === 0
}

/** The server turned the call away for load, and did nothing. */
function isShed({ code, metadata }: StatusObject): boolean {
  return (code === Status.UNAVAILABLE || code === Status.RESOURCE_EXHAUSTED) && metadata.get(OVERLOADED_HEADER).length > 0
}

/** REFUSED_STREAM: the server did nothing with it (RFC 9113 section 8.7). The second is what Node 26 says while it still writes. */
function isRefused(details: string): boolean {
  return details === REFUSED_STREAM || details.endsWith(REFUSED_WRITE)
}

/** No stream was opened: there was no connection, it was just closing, or the call itself was wanting. */
function judgeUnsent(code: number, details: string): Verdict {
  if (details.startsWith(NOT_STARTED)) return NOT_SENT
  if (code !== Status.UNAVAILABLE || details.includes(NO_CREDENTIALS)) return BODY_FAILED
  return details.startsWith(CHANNEL_CLOSED) ? NOT_SENT : CONNECT_FAILED
}

function pushedBack(verdict: Verdict, ms: number | undefined): Verdict {
  if (ms === undefined || ms === 0) return verdict
  return ms < 0 ? { ...verdict, resend: 'never' } : { ...verdict, retryAfterMs: ms }
}

/** What is no number forbids a further attempt, as a negative one does (gRFC A6). */
function pushbackMs(metadata: Metadata): number | undefined {
  const [value] = metadata.get('grpc-retry-pushback-ms')
  if (value === undefined) return undefined
  return /^\d{1,10}$/.test(String(value)) ? Number(value) : -1
}

/** How grpc-js calls a connection that broke, and a stream that the server or something before it reset as it went away. */
const LOST: ReadonlySet<number> = new Set([Status.UNAVAILABLE, Status.CANCELLED])
/** As grpc-js, grpc-go and grpc-java put it, on either side of the connection. */
const TOO_LARGE = /\blarger than\b|\bexceeds maximum size\b/
/** Texts of grpc-js. If it changes one, a call is judged a little less kindly: as a failed connection, or as possibly processed. */
const REFUSED_STREAM = 'Stream refused by server'
const REFUSED_WRITE = 'Stream closed with error code NGHTTP2_REFUSED_STREAM'
const NOT_STARTED = 'Failed to start HTTP/2 stream'
const CHANNEL_CLOSED = 'Channel closed'
const NO_CREDENTIALS = 'Getting metadata from plugin failed'
