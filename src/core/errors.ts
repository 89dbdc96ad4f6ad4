import type { Reason } from './verdict.ts'

/** The closed list of what a MeshError can say. */
export type MeshErrorCode =
  /** Bad options; thrown at once, with every problem found. */
  | 'INMESH_CONFIG'
  /** The service has no endpoint, or none that could be asked, within 3 s. */
  | 'INMESH_NO_ENDPOINT'
  /** Every attempt failed; `cause` is the transport's error of the last. */
  | 'INMESH_ATTEMPTS_FAILED'
  /** The call's whole time is spent. */
  | 'INMESH_TIMEOUT'
  /** Refused without an attempt: waiting room or gates full. */
  | 'INMESH_REFUSED'
  /** The service's own breaker is open. */
  | 'INMESH_BREAKER_OPEN'
  /** The mesh is closed. */
  | 'INMESH_CLOSED'
  /** A source of addresses, a registry or a configuration file can't be read. */
  | 'INMESH_DISCOVERY'
  /** A certificate, a key, a trust bundle or a source of identities can't be read, made or believed. */
  | 'INMESH_IDENTITY'

export interface MeshErrorDetails {
  readonly service?: string
  readonly endpoint?: string
  readonly attempts?: number
  readonly reason?: Reason
  readonly cause?: unknown
}

/**
 * Why a call could not be answered, or a mesh not be made. The message reads as the path of the failure, outside in:
 * `voting: 2 attempts failed, last on 10.0.0.7:8080: connect ECONNREFUSED`.
 */
export class MeshError extends Error {
  readonly code: MeshErrorCode
  readonly service: string | undefined
  /** `host:port` of the last attempt. */
  readonly endpoint: string | undefined
  /** How many attempts were made. */
  readonly attempts: number
  readonly reason: Reason | undefined

  constructor(code: MeshErrorCode, message: string, details: MeshErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.service = details.service
    this.endpoint = details.endpoint
    this.attempts = details.attempts ?? 0
    this.reason = details.reason
  }

  static {
    Object.defineProperty(MeshError.prototype, 'name', { value: 'MeshError', configurable: true, writable: true })
  }

  /** A refusal: made without a stack, which costs a sixth (the caller did nothing wrong at that line). */
  static refusal(code: MeshErrorCode, message: string, details?: MeshErrorDetails): MeshError {
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    try {
      return new MeshError(code, message, details)
    } finally {
      Error.stackTraceLimit = limit
    }
  }
}
