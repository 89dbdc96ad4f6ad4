import { type ChannelInterface, propagate } from '@grpc/grpc-js'
import { currentContext, type RequestContext } from '../../core/request-context.ts'
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
