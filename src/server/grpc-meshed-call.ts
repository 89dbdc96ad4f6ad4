import { type Deadline, Metadata, type ServerInterceptingCallInterface, type ServerMethodDefinition } from '@grpc/grpc-js'
import { LEAVING_HEADER } from '../core/context-headers.ts'
import type { InboundReason, Refusal } from '../core/inbound.ts'
import { LOAD_REPORT_BINARY_HEADER } from '../core/load-report.ts'
import { contextEndsWithCallback, enterContext, withContext } from '../core/request-context.ts'
import type { HandlerFailures } from './grpc-handler-failures.ts'
import { type CallSource, GrpcInbound, leftUntil, mark } from './grpc-inbound.ts'
import { sentStatus, streamOf } from './grpc-inside.ts'
import type { GrpcLoadReports } from './grpc-load-reports.ts'
import { refusalStatus } from './grpc-refusal.ts'
import type { Reception } from './reception.ts'

type Call = ServerInterceptingCallInterface
type Listener = Parameters<Call['start']>[0]
type Status = Parameters<Call['sendStatus']>[0]
type Method = Pick<ServerMethodDefinition<unknown, unknown>, 'path' | 'requestStream' | 'responseStream'>

/** What all calls of a server share. */
export interface Serving {
  readonly reception: Reception
  readonly reports: GrpcLoadReports | undefined
  readonly failures: HandlerFailures
}

/**
 * One call on its way through: what the handler sends, and the listener to what the caller sends. One object a call.
 *
 * - **waiting -> begun** when its metadata is there
 * - **begun -> answered** when the handler has given a status, or it was refused
 * - **begun or answered -> over** when grpc-js says so (it calls that "cancel" however a call ends): its status is sent, the caller left, or grpc-js
 *   itself gave the call up because of the deadline or a malformed message
 */
export class MeshedCall implements Call, Listener, CallSource {
  readonly #serving: Serving
  readonly #method: Method
  readonly #next: Call
  /** Undefined when the handler shall hear nothing more. */
  #listener: Listener | undefined = undefined
  /** Nobody but grpc-js hears of anything before the request is whole: neither a handler that is streamed to, nor another interceptor. */
  #isQuiet = false
  #metadata: Metadata | undefined = undefined
  #inbound: GrpcInbound | undefined = undefined
  /** The code that the handler gave, or that it was refused with. */
  #code = NONE
  #messaged = false

  constructor(serving: Serving, method: Method, next: Call) {
    this.#serving = serving
    this.#method = method
    this.#next = next
  }

  // === from the caller

  start(listener: Listener): void {
    this.#listener = listener
    this.#isQuiet = !this.#method.requestStream && Object.getPrototypeOf(listener) === Object.prototype
    this.#next.start(this)
  }

  onReceiveMetadata(metadata: Metadata): void {
    const { reception } = this.#serving
    const { path } = this.#method
    this.#metadata = metadata
    const inbound = new GrpcInbound(reception, path, this, leftUntil(this.#next.getDeadline()))
    inbound.route = path
    this.#inbound = inbound
    mark(metadata, inbound)
    reception.begin(inbound)
    if (inbound.refusal !== undefined) this.#refuse(inbound.refusal)
    else if (this.#isQuiet) this.#listener?.onReceiveMetadata(metadata)
    else this.#inContext(() => this.#listener?.onReceiveMetadata(metadata))
  }

  onReceiveMessage(message: unknown): void {
    if (this.#isQuiet) this.#listener?.onReceiveMessage(message)
    else this.#inContext(() => this.#listener?.onReceiveMessage(message))
  }

  onReceiveHalfClose(): void {
    if (this.#endsWithCallback) {
      if (this.#inbound === undefined) return
      enterContext(this.#inbound)
      this.#listener?.onReceiveHalfClose()
      return
    }
    this.#inContext(() => this.#listener?.onReceiveHalfClose())
  }

  onCancel(): void {
    const inbound = this.#inbound
    if (inbound === undefined || inbound.ended) return
    const reason = this.#end(inbound)
    const listener = this.#listener
    this.#listener = undefined
    if (this.#isQuiet && reason === 'ok') listener?.onCancel()
    else this.#inContext(() => listener?.onCancel())
  }

  // === from the handler

  sendMetadata(metadata: Metadata): void {
    this.#answering()
    this.#next.sendMetadata(metadata)
  }

  sendMessage(message: unknown, sent: () => void): void {
    const { path, responseStream } = this.#method
    if (this.#code !== NONE || (this.#messaged && !responseStream)) return this.#serving.failures.answeredTwice(path)
    this.#messaged = true
    this.#answering()
    // grpc-js goes on in the context of the connection
    this.#next.sendMessage(message, responseStream ? () => this.#inContext(sent) : sent)
  }

  sendStatus(status: Status): void {
    const { path, responseStream } = this.#method
    const isSecond = this.#code !== NONE || (this.#messaged && !responseStream && status.code !== OK)
    if (isSecond) return this.#serving.failures.answeredTwice(path)
    this.#code = status.code
    this.#next.sendStatus(this.#told(status))
  }

  #refuse(refusal: Refusal): void {
    this.#listener = undefined
    const { code, headers } = refusalStatus(refusal)
    const metadata = new Metadata()
    for (const name of Object.keys(headers)) metadata.set(name, headers[name] as string)
    this.sendStatus({ code, details: refusal.reason, metadata })
  }

  /** The head of the answer is about to be written. */
  #answering(): void {
    const inbound = this.#inbound
    if (inbound !== undefined && inbound.permits !== 0) inbound.reception.answered(inbound, 'ok')
  }

  /** The trailers, with what the caller should know of this process. */
  #told(status: Status): Status {
    const { reception, reports } = this.#serving
    const now = this.#inbound?.startedAt ?? Number.NEGATIVE_INFINITY
    const isStranger = this.#inbound?.refusal?.reason === 'unauthorized'
    const report = isStranger ? undefined : reports?.next(now, reception.inFlight, streamOf(this.#next)?.session)
    if (report === undefined && reception.state === 'serving') return status
    // the handler may use its own for every call
    const metadata = status.metadata?.clone() ?? new Metadata()
    if (report !== undefined) metadata.set(LOAD_REPORT_BINARY_HEADER, report)
    if (reception.state !== 'serving') metadata.set(LEAVING_HEADER, 'true')
    return { ...status, metadata }
  }

  // === the end

  #end(inbound: GrpcInbound): InboundReason {
    const stream = streamOf(this.#next)
    const given = this.#code === NONE ? undefined : this.#code
    const sent = stream === undefined ? given : sentStatus(stream)
    const seen = reasonOf(sent, given, stream?.rstCode)
    const reason = seen === 'cancelled' && inbound.remainingMs <= CLOSE_MS ? 'timeout' : seen
    inbound.reception.end(inbound, sent ?? CANCELLED, reason)
    return reason
  }

  /**
   * Whether the context may be entered and not left. Where the request is one message, grpc-js itself reads it, in callbacks of Node's that are this call's alone;
   * a stream is read by whoever wants its next message.
   */
  get #endsWithCallback(): boolean {
    return this.#isQuiet && contextEndsWithCallback
  }

  #inContext(fn: () => void): void {
    if (this.#inbound !== undefined) withContext(this.#inbound, fn)
  }

  // === what is asked on the way

  values(name: string): readonly (string | Buffer)[] {
    return this.#metadata?.get(name) ?? []
  }

  startRead(): void {
    this.#next.startRead()
  }

  getPeer(): string {
    return this.#next.getPeer()
  }

  getDeadline(): Deadline {
    return this.#next.getDeadline()
  }

  getHost(): string {
    return this.#next.getHost()
  }

  /** Of the connection, for whom a caller has proved to be. */
  get socket(): unknown {
    return streamOf(this.#next)?.session?.socket
  }

  getAuthContext(): ReturnType<Call['getAuthContext']> {
    return this.#next.getAuthContext()
  }

  getConnectionInfo(): ReturnType<Call['getConnectionInfo']> {
    return this.#next.getConnectionInfo()
  }

  getMetricsRecorder(): ReturnType<Call['getMetricsRecorder']> {
    return this.#next.getMetricsRecorder()
  }
}

/**
 * @param sent the code that went out
 * @param given the code that the handler gave
 * @param reset why the stream was reset, in HTTP/2's codes
 */
function reasonOf(sent: number | undefined, given: number | undefined, reset = NO_ERROR): InboundReason {
  if (sent === undefined) return reset === INTERNAL_ERROR ? 'broken_off' : 'cancelled'
  if (reset !== NO_ERROR) return 'cancelled'
  // grpc-js has answered for the handler
  if (given === undefined) return sent === DEADLINE_EXCEEDED ? 'timeout' : 'broken_off'
  return FAILURES.has(sent) ? 'error_status' : 'ok'
}

/** Callers reset a call at its deadline, and their clock starts a little sooner; in milliseconds. */
const CLOSE_MS = 5

/** No code yet. */
const NONE = -1

const OK = 0
const CANCELLED = 1
const DEADLINE_EXCEEDED = 4

/** What a 5xx is in HTTP, and what callers hold against a server: UNKNOWN, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE, DATA_LOSS. */
const FAILURES: ReadonlySet<number> = new Set([2, DEADLINE_EXCEEDED, 13, 14, 15])

const NO_ERROR = 0
const INTERNAL_ERROR = 2
