import { type ChannelInterface, type Metadata, propagate } from '@grpc/grpc-js'
import { currentContext, type RequestContext } from '../../core/request-context.ts'
import { TRACEPARENT_HEADER, TRACESTATE_HEADER } from '../../core/trace-context.ts'
import { type Deadline, deadlineTime } from './deadline.ts'

/** The server call that grpc-js was told a call is made for. */
export type ParentCall = Parameters<ChannelInterface['createCall']>[3]

/** On whose behalf a call is made. */
export function callerOf(parent: ParentCall, flags: number | null | undefined): Caller {
  const context = currentContext()
  return context === undefined && !parent ? NOBODY : new Caller(context, parent, flags)
}

/**
 * On whose behalf a call is made: the request that is being served, and what grpc-js was told by `parent`. Both bound its time and end it
 * when whoever asked has left.
 */
export class Caller {
  readonly #context: RequestContext | undefined
  readonly #parent: ParentCall
  readonly #flags: number
  #forgetContext: (() => void) | undefined
  #forgetParent: (() => void) | undefined

  constructor(context: RequestContext | undefined, parent: ParentCall, flags: number | null | undefined) {
    this.#context = context
    this.#parent = parent
    this.#flags = flags ?? propagate.DEFAULTS
  }

  /** Whether the request that is being served is a resend. */
  get isResend(): boolean {
    return this.#context !== undefined && this.#context.attempt > 1
  }

  /** The number of an attempt as the next hop is told it: what is done for a resend is a resend itself, all the way down. */
  numberOf(attempt: number): number {
    return this.#context === undefined ? attempt : attempt + this.#context.attempt - 1
  }

  /** Whether there is anybody who could leave. */
  get mayLeave(): boolean {
    return this.#context !== undefined || !!this.#parent
  }

  /** The request's deadline, on the mesh's clock; Infinity for none. */
  get inheritedDeadline(): number {
    return this.#context === undefined ? Number.POSITIVE_INFINITY : this.#context.deadline
  }

  /** The call's own deadline and its parent's, whichever is sooner, in milliseconds since 1970. */
  deadline(own: Deadline): number {
    const time = deadlineTime(own)
    const parent = this.#parent
    if (!parent || (this.#flags & propagate.DEADLINE) === 0) return time
    return Math.min(time, deadlineTime(parent.getDeadline()))
  }

  /** Whether the request that is being served is part of a trace. */
  get hasTrace(): boolean {
    return this.#context !== undefined && this.#context.traceparent !== ''
  }

  /** Adds the request's trace to what a call sends, unless that says itself which trace it is part of. */
  passTraceOn(metadata: Metadata): void {
    const traceparent = this.#context === undefined ? '' : this.#context.traceparent
    if (traceparent === '' || metadata.get(TRACEPARENT_HEADER).length > 0) return
    const tracestate = this.#context?.tracestate ?? ''
    metadata.set(TRACEPARENT_HEADER, traceparent)
    if (tracestate !== '') metadata.set(TRACESTATE_HEADER, tracestate)
  }

  /** Runs `fn` when whoever asked has left; perhaps at once. */
  onLeave(fn: (why: string) => void): void {
    const parent = this.#parent
    if (parent && (this.#flags & propagate.CANCELLATION) !== 0) {
      const cancelled = (): void => fn('Cancelled by parent call')
      parent.on('cancelled', cancelled)
      this.#forgetParent = () => parent.removeListener('cancelled', cancelled)
    }
    if (this.#context !== undefined) this.#forgetContext = this.#context.onLeave((reason) => fn(reason.message))
  }

  stop(): void {
    this.#forgetContext?.()
    this.#forgetParent?.()
  }
}

/** Holds nothing, so that one is enough. */
const NOBODY = new Caller(undefined, null, undefined)
