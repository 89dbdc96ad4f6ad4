import { type experimental, type InterceptingListener, type Metadata, status as Status, type StatusObject } from '@grpc/grpc-js'
import type { Attempt } from '../../core/attempt.ts'
import type { Timer } from '../../core/clock.ts'
import { LEAVING_HEADER } from '../../core/context-headers.ts'
import { OK, type Verdict } from '../../core/verdict.ts'
import type { EndpointChannel } from './endpoint-channel.ts'
import type { Exchange } from './exchange.ts'
import type { Progress } from './judge-status.ts'
import type { MessageContext } from './outbox.ts'
import { ScopedListener } from './scoped-listener.ts'

/** A call of grpc-js's own, below its interceptors. */
export type GrpcCall = experimental.CallStream

/**
 * One attempt: a call on the endpoint's own channel, and the listener to it. What an attempt that was given up still hears finds that it is
 * not the exchange's current one and stops here.
 */
export class AttemptCall implements InterceptingListener {
  readonly attempt: Attempt
  /** Runs from the start to the answer's head, when the route bounds it. */
  #timer: Timer | undefined
  /** It was given a turn of the loop more, as this process had stood still. */
  #excused = false
  /** Runs while there is no connection. */
  #connecting: Timer | undefined
  /** It has to wait for one. */
  #queued = false
  readonly #exchange: Exchange
  readonly #call: GrpcCall
  readonly #context: MessageContext = { callback: () => this.#taken(), flags: 0 }
  #answering = false
  /** The number of the next message to hand over. */
  #next = 0
  #writing = false
  #halfClosed = false

  constructor(exchange: Exchange, attempt: Attempt, call: GrpcCall) {
    this.#exchange = exchange
    this.attempt = attempt
    this.#call = call
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
      this.#context.flags = entry.context.flags ?? 0
      this.#call.sendMessageWithContext(this.#context, entry.message)
    }
    this.finish()
  }

  #taken(): void {
    this.#writing = false
    if (this.#exchange.current !== this) return
    this.#exchange.outbox.taken(this.#next - 1)
    if (this.#exchange.current === this) this.send()
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
    if (this.#exchange.current !== this) return
    this.#answered()
    this.#exchange.answered(this, metadata)
  }

  onReceiveMessage(message: Buffer): void {
    if (this.#exchange.current !== this) return
    if (!this.#answering) this.#answered()
    this.#exchange.received(message)
  }

  onReceiveStatus(status: StatusObject): void {
    this.#stopTimers()
    this.#heed(status.metadata)
    if (this.#exchange.current === this) this.#exchange.ended(this, status)
  }

  /** A server that is about to go says so on its answers. */
  #heed(metadata: Metadata): void {
    if (metadata.get(LEAVING_HEADER).length > 0) this.attempt.route.service.leaving(this.attempt.endpoint)
  }

  #answered(): void {
    this.#answering = true
    this.#stopTimers()
    this.attempt.status = 200
    this.attempt.answered(OK)
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

  /** Stops it. To be called when it is no longer the exchange's current one; `end` must follow. */
  cancel(code: Status = Status.CANCELLED, details = 'attempt given up'): void {
    this.#stopTimers()
    this.#call.cancelWithStatus(code, details)
  }

  end(verdict: Verdict): void {
    this.attempt.status = verdict.outcome === 'success' ? 200 : 0
    this.attempt.end(verdict)
  }

  #stopTimers(): void {
    this.#timer?.cancel()
    this.#connecting?.cancel()
  }
}
