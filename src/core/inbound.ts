import type { Clock } from './clock.ts'
import { callerLeft, deadlinePassed, Patience } from './patience.ts'
import type { RequestContext } from './request-context.ts'
import type { ConnectionKind } from './tls-observer.ts'
import { readTraceparent, readTracestate, TRACEPARENT_HEADER, TRACESTATE_HEADER, traceIdOf } from './trace-context.ts'

/**
 * How a request that this process served ended, and why one was refused: the closed list, with the words of `REASONS` wherever
 * they mean the same. The order is that of the series in the metrics: append only.
 */
export const INBOUND_REASONS = [
  /** Answered whole, with a status below 500. */
  'ok',
  /** Answered whole, with a status of 500 or above. */
  'error_status',
  /** The caller left before it had the whole answer. */
  'cancelled',
  /** As `cancelled` or `broken_off`, but the caller's deadline had passed by then. */
  'timeout',
  /** This process gave the answer up before it was whole. */
  'broken_off',
  /** Refused: the caller's deadline had passed before the handler ran. */
  'deadline_passed',
  /** Refused: too much is in flight already. */
  'overloaded',
  /** Refused: this client sends too often. */
  'rate_limited',
  /** Refused: this process has drained and is about to end. */
  'draining',
  /** Refused: whoever asks may not. */
  'unauthorized',
] as const

export type InboundReason = (typeof INBOUND_REASONS)[number]
export type RefusalReason = Extract<
  InboundReason,
  'deadline_passed' | 'overloaded' | 'rate_limited' | 'draining' | 'unauthorized'
>

/** Why a request is turned away before its handler runs. Certainly not processed: unless it is `unauthorized`, the caller may always try elsewhere. */
export interface Refusal {
  readonly reason: RefusalReason
  /** How long the caller should stay away, in milliseconds; 0 for no advice. */
  readonly retryAfterMs: number
  /** Of `unauthorized`: the name of the rule. For metrics and logs; never part of the answer. */
  readonly rule?: string
}

/** `exempt` (health checks) is never refused; then `critical`, `default`, `sheddable` go in the order of their worth. */
export type Priority = 'exempt' | 'critical' | 'default' | 'sheddable'

/** Who is at the other end of the connection. */
export interface Peer {
  /** IP address of the socket's other end; empty for a Unix socket. An IPv4 address is never written as IPv6. */
  readonly address: string
  /** What the peer's certificate proved; undefined when there is none. */
  readonly identity: string | undefined
}

/**
 * One request that this process serves, from its head to the last byte of its answer: what a handler sees as `request.mesh`, and what
 * travels to every call made while serving it. One a request; signal, timer and listeners are made only if somebody asks.
 */
export abstract class Inbound implements RequestContext {
  /** When it arrived, in monotonic milliseconds. */
  readonly startedAt: number
  /** See `RequestContext`. Infinity again once the caller has its answer: work that goes on after it is bounded no more. */
  deadline: number
  /** The route's template, such as `/api/:id`; empty until it is known, and for requests that match none. */
  route = ''
  /** Set when an admission turned it away. */
  refusal: Refusal | undefined = undefined
  /** What it is worth, judged before the first admission is asked. */
  priority: Priority = 'default'
  /** Which admissions gave a permit that was not given back yet, as bits. The reception's own. */
  permits = 0
  /** Its deadline was found to have passed before its handler ran. The reception's own. */
  late = false
  /** The answer is over, or nobody waits for it any more. */
  ended = false
  readonly #clock: Clock
  #patience: Patience | undefined = undefined
  #left: 'cancelled' | 'timeout' | undefined = undefined

  constructor(clock: Clock, startedAt: number, deadline: number) {
    this.#clock = clock
    this.startedAt = startedAt
    this.deadline = deadline
  }

  abstract readonly protocol: 'http' | 'grpc'
  /** Upper case; `POST` for gRPC. */
  abstract readonly method: string
  /** Begins with `/`; contains the query. */
  abstract readonly path: string
  abstract readonly attempt: number
  abstract readonly caller: string
  abstract readonly peer: Peer
  /** The client's IP address: the peer's own, or what trusted proxies say of it. */
  abstract readonly clientAddress: string
  /** A request header's value, by its lower-case name; several values are joined by `, `. */
  abstract header(name: string): string | undefined

  /** The port of this process that it came to; 0 when there is none, as with Unix sockets, undefined when its connection is gone already. */
  get localPort(): number | undefined {
    return 0
  }

  /** How it came: by TLS with an identity, by TLS without one, or in plaintext. */
  get security(): ConnectionKind {
    return 'plaintext'
  }

  /** How much of the caller's patience is left, in milliseconds; Infinity without a deadline, never below 0. */
  get remainingMs(): number {
    return this.deadline === Number.POSITIVE_INFINITY ? this.deadline : Math.max(0, this.deadline - this.#clock.now())
  }

  get traceparent(): string {
    return readTraceparent(this.header(TRACEPARENT_HEADER))
  }

  get tracestate(): string {
    const tracestate = readTracestate(this.header(TRACESTATE_HEADER))
    return tracestate === '' || this.traceparent === '' ? '' : tracestate
  }

  get traceId(): string {
    return traceIdOf(this.traceparent)
  }

  /** Aborts with an `AbortError` when the caller has left, with a `TimeoutError` when the deadline has passed. */
  get signal(): AbortSignal {
    return this.#watched().signal
  }

  onLeave(fn: (reason: Error) => void): () => void {
    return this.#watched().onEnd(fn)
  }

  #watched(): Patience {
    if (this.#patience === undefined) {
      this.#patience = new Patience(this.#clock, this.startedAt, this.ended ? Number.POSITIVE_INFINITY : this.deadline)
      if (this.#left !== undefined) this.#patience.end(this.#reason(this.#left))
    }
    return this.#patience
  }

  // === told by the reception

  /** The caller has left without its whole answer, or it has been told that its deadline passed. */
  leave(why: 'cancelled' | 'timeout' = 'cancelled'): void {
    if (this.ended) return
    this.ended = true
    this.#left = why
    this.#patience?.end(this.#reason(why))
  }

  #reason(why: 'cancelled' | 'timeout'): Error {
    return why === 'timeout' ? deadlinePassed(this.deadline - this.startedAt) : callerLeft()
  }

  /** The caller has its answer. Nobody is told any more. */
  settle(): void {
    if (this.ended) return
    this.ended = true
    this.#patience?.forget()
    if (this.#patience?.over === undefined) this.deadline = Number.POSITIVE_INFINITY
  }
}
