import { type experimental, type InterceptingListener, type Metadata, status as Status, type StatusObject } from '@grpc/grpc-js'
import type { Attempt } from '../../core/attempt.ts'
import type { Timer } from '../../core/clock.ts'
import { LEAVING_HEADER } from '../../core/context-headers.ts'
import { LOAD_REPORT_BINARY_HEADER } from '../../core/load-report.ts'
import { OK, type Verdict } from '../../core/verdict.ts'
import type { EndpointChannel } from './endpoint-channel.ts'
import type { Progress } from './judge-status.ts'
import { firstValue } from './metadata-entries.ts'
import type { MessageContext } from './outbox.ts'
import type { RacingCall } from './racing-call.ts'
import { ScopedListener } from './scoped-listener.ts'

/** A call of grpc-js's own, below its interceptors. */
export type GrpcCall = experimental.CallStream

/**
 * One attempt: a call on the endpoint's own channel, and the listener to it. What an attempt that was given up still hears finds that it is
 * not the exchange's current one and stops here. To grpc-js it is the context of each of its messages, too.
 */
export class AttemptCall implements InterceptingListener, MessageContext {
  readonly attempt: Attempt
  /** Of the message handed over last. */
  flags = 0
  /** grpc-js has taken it. */
  readonly callback = (): void => this.#taken()
  /** Runs from the start to the answer's head, when the route bounds it. */
  #timer: Timer | undefined
  /** It was given a turn of the loop more, as this process had stood still. */
  #excused = false
  /** Runs while there is no connection. */
  #connecting: Timer | undefined
  /** It has to wait for one. */
  #queued = false
  readonly #exchange: RacingCall
  readonly #call: GrpcCall
  #answering = false
  /** The number of the next message to hand over. */
  #next = 0
  #writing = false
  #halfClosed = false
  /** It was given up, or has its status. */
  #over = false

  constructor(exchange: RacingCall, attempt: Attempt, call: GrpcCall) {
    this.#exchange = exchange
    this.attempt = attempt
    this.#call = call
  }

  /** Whether what it hears matters yet. */
  get #counts(): boolean {
    return !this.#over && (this.#exchange.current === this || this.#exchange.races(this))
  }

  // === the way out

  start(metadata: Metadata, reading: boolean): void {
    this.#call.start(metadata, this.#queued ? new ScopedListener(this, this.#exchange.scope) : this)
    if (reading) this.#call.startRead()
    this.send()
  }

  /**
   * Gives up the attempt, as never sent, if the channel has not had a connection within so many milliseconds. grpc-js itself has no such
   * limit: it would wait as long as the operating system does.
   */
  awaitConnection(channel: EndpointChannel, withinMs: number): void {
    if (channel.connected) return
    this.#queued = true
    if (withinMs === 0) return
    const { connections } = channel
    this.#connecting = this.#exchange.clock.after(withinMs, () => {
      if (channel.connections === connections) this.#exchange.tooLate(this, withinMs)
    })
  }

  /** Gives up the attempt if the server hasn't begun to answer within so many milliseconds. */
  bound(limitMs: number): void {
    this.#timer = this.#exchange.clock.after(limitMs, () => this.#expire(limitMs))
  }

  /** Time that this process itself stood still is given back to the attempt, and a turn of the loop to read what came meanwhile. */
  #expire(limitMs: number): void {
    const now = this.#exchange.clock.now()
    const stalledMs = this.attempt.stalledMs(now)
    const leftMs = limitMs - (now - this.attempt.startedAt - stalledMs)
    if (leftMs < 1 && (stalledMs === 0 || this.#excused)) return this.#exchange.tooLate(this, limitMs)
    if (leftMs < 1) this.#excused = true
    this.#timer = this.#exchange.clock.after(Math.max(1, leftMs), () => this.#expire(limitMs))
  }

  /**
   * Hands over what was written and not sent on this attempt yet, one message at a time: grpc-js remembers but one while it connects.
   */
  send(): void {
    if (this.#writing || this.#halfClosed) return
    const { outbox } = this.#exchange
    const entry = outbox.at(this.#next)
    if (entry !== undefined) {
      this.#writing = true
      this.#next++
      this.flags = entry.context.flags ?? 0
      this.#call.sendMessageWithContext(this, entry.message)
    }
    this.finish()
  }

  #taken(): void {
    this.#writing = false
    if (!this.#counts) return
    this.#exchange.outbox.taken(this.#next - 1)
    if (this.#counts) this.send()
  }

  /** The last message may still be on its way to the transport; grpc-js keeps the order. */
  finish(): void {
    const { outbox } = this.#exchange
    if (!outbox.finished || this.#halfClosed || this.#next < outbox.length) return
    this.#halfClosed = true
    this.#call.halfClose()
  }

  read(): void {
    this.#call.startRead()
  }

  // === the way back

  onReceiveMetadata(metadata: Metadata): void {
    this.#heed(metadata)
    if (!this.#counts) return
    this.#answered()
    this.#exchange.answered(this, metadata)
  }

  onReceiveMessage(message: Buffer): void {
    if (!this.#counts) return
    if (!this.#answering) this.#answered()
    this.#exchange.received(message)
  }

  onReceiveStatus(status: StatusObject): void {
    this.#stopTimers()
    this.#heed(status.metadata)
    this.attempt.code = status.code
    if (!this.#counts) return
    this.#over = true
    this.#exchange.ended(this, status)
  }

  /** A server says on its answers how busy it is, and when it is about to go. */
  #heed(metadata: Metadata): void {
    if (firstValue(metadata, LEAVING_HEADER) !== undefined) this.attempt.route.service.leaving(this.attempt.endpoint)
    const report = firstValue(metadata, LOAD_REPORT_BINARY_HEADER)
    if (report !== undefined) this.attempt.loadReported(report)
  }

  #answered(): void {
    this.#answering = true
    this.#stopTimers()
    this.attempt.status = 200
    this.attempt.answered(OK)
    this.#exchange.elect(this)
    this.#exchange.outbox.commit(this.#writing ? this.#next - 1 : this.#next)
  }

  // === what is known of it

  /**
   * How far it got; to be asked when it is over. grpc-js tells the listener nothing of it, but a call that never had a stream has no
   * connection either, whose security it could tell.
   */
  get progress(): Progress {
    if (this.#answering) return 'answering'
    return this.#call.getAuthContext() === null ? 'unsent' : 'sent'
  }

  get peer(): string {
    return this.#call.getPeer()
  }

  get authContext(): ReturnType<GrpcCall['getAuthContext']> {
    return this.#call.getAuthContext()
  }

  // === the end

  /** Stops it: what it still hears reaches nobody. `end` must follow. */
  cancel(code: Status = Status.CANCELLED, details = 'attempt given up'): void {
    this.#over = true
    this.#stopTimers()
    this.#call.cancelWithStatus(code, details)
  }

  abandon(verdict: Verdict): void {
    if (this.#over) return
    this.cancel()
    this.end(verdict)
  }

  /** @param now monotonic milliseconds */
  end(verdict: Verdict, now: number = this.#exchange.clock.now()): void {
    this.attempt.status = verdict.outcome === 'success' ? 200 : 0
    this.attempt.end(verdict, now)
  }

  #stopTimers(): void {
    this.#timer?.cancel()
    this.#connecting?.cancel()
  }
}
