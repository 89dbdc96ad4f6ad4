import type { Call } from '../core/call.ts'
import { ATTEMPT_HEADER, CALLER_HEADER, TIME_LEFT_HEADER } from '../core/context-headers.ts'
import { currentContext, type RequestContext } from '../core/request-context.ts'
import { TRACEPARENT_HEADER, TRACESTATE_HEADER } from '../core/trace-context.ts'

/**
 * On whose behalf a call is made: the request that this process is serving, if any. It bounds the call's time, ends the call when whoever
 * asked has left, and is told to the next hop. Nothing is paid outside of a request.
 */
export class Behalf {
  readonly #context: RequestContext | undefined = currentContext()
  #forget: (() => void) | undefined

  /** The request being served is a resend. */
  get resent(): boolean {
    return this.#context !== undefined && this.#context.attempt > 1
  }

  /** The number of an attempt as the next hop is told it: what is done for a resend is a resend itself, all the way down. */
  numberOf(attempt: number): number {
    return this.#context === undefined ? attempt : attempt + this.#context.attempt - 1
  }

  /**
   * Until nobody waits for the answer any more, in milliseconds; Infinity for never.
   *
   * @param startedAt of the call
   * @param timeoutMs the route's; 0 for none
   */
  leftMs(startedAt: number, timeoutMs: number, now: number): number {
    const inherited = this.#context === undefined ? Number.POSITIVE_INFINITY : this.#context.deadline
    const own = timeoutMs > 0 ? startedAt + timeoutMs : Number.POSITIVE_INFINITY
    return (own < inherited ? own : inherited) - now
  }

  /** The `traceparent` that a call carries on; empty when there is none, or when the call says itself which trace it is part of. */
  traceparentFor(call: Call): string {
    const traceparent = this.#context === undefined ? '' : this.#context.traceparent
    return traceparent === '' || call.header(TRACEPARENT_HEADER) !== undefined ? '' : traceparent
  }

  /**
   * Adds the trace to what the next hop is told.
   *
   * @param traceparent as `traceparentFor` says it
   */
  passTraceOn(traceparent: string, headers: string[]): void {
    if (traceparent === '' || this.#context === undefined) return
    const { tracestate } = this.#context
    headers.push(TRACEPARENT_HEADER, traceparent)
    if (tracestate !== '') headers.push(TRACESTATE_HEADER, tracestate)
  }

  /** Aborts the call when whoever asked has left or its deadline has passed; perhaps at once. */
  bind(call: { abort(reason: Error): void }): void {
    if (this.#context !== undefined) this.#forget = this.#context.onLeave((reason) => call.abort(reason))
  }

  /** The call is over. */
  stop(): void {
    this.#forget?.()
    this.#forget = undefined
  }
}

/**
 * What the next hop is told besides the application's own headers: names and values in turn, none when there is nothing to tell.
 *
 * @param caller this process's own service
 * @param leftMs how long the answer is waited for; Infinity for ever
 * @param number of the attempt, as `Behalf.numberOf` says it
 */
export function hopHeaders(caller: string, leftMs: number, number: number): string[] {
  const headers: string[] = []
  if (number > 1) headers.push(ATTEMPT_HEADER, String(number))
  if (caller !== '') headers.push(CALLER_HEADER, caller)
  if (leftMs !== Number.POSITIVE_INFINITY) headers.push(TIME_LEFT_HEADER, String(Math.max(1, Math.floor(leftMs))))
  return headers
}
