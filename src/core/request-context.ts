import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks'

/**
 * What a request that this process is serving passes on to every call made while serving it: how long there is left, whether somebody
 * still waits, whether it is a resend already, and its trace. Travels by itself, through AsyncLocalStorage.
 */
export interface RequestContext {
  /** When the caller's patience ends, in monotonic milliseconds of this process; Infinity for never. Clocks of machines are not compared. */
  readonly deadline: number
  /** From 1; above 1 the request is a resend, and what is called on its behalf is not sent again in its turn. */
  readonly attempt: number
  /** The caller's service; empty when it did not say. */
  readonly caller: string
  /**
   * The W3C trace context that the request came with, as it came; empty when it came with none, or a malformed one. Every call to a service made while
   * serving it carries the same, unless the application or its tracing has set `traceparent` on that call. The mesh makes no span of its own and knows of none:
   * a span that is active in OpenTelemetry gets onto a call by OpenTelemetry's instrumentation, or not at all.
   */
  readonly traceparent: string
  /** Empty without a `traceparent`. */
  readonly tracestate: string
  /** The trace's id, 32 hexadecimal digits, for logs; empty without a `traceparent`. */
  readonly traceId: string
  /** Aborted when the caller has left or the deadline has passed. Made on first use. */
  readonly signal: AbortSignal
  /**
   * Runs `fn` once when the caller leaves or the deadline passes; at once when that has happened. Cheaper than the signal.
   *
   * @returns a function that takes it back
   */
  onLeave(fn: (reason: Error) => void): () => void
}

const storage = new AsyncLocalStorage<RequestContext>()

/** The context of the request that is being served here; undefined outside of any. About 30 ns. */
export function currentContext(): RequestContext | undefined {
  return storage.getStore()
}

/**
 * Runs `fn` on behalf of a request. Everything it starts inherits the context. About 100 ns.
 *
 * It does what `storage.run` does. That makes a frame of all contexts twice, to enter and to go back; a resource goes back to the frame that there was, at half
 * the garbage.
 */
export function withContext<T>(context: RequestContext, fn: () => T): T {
  return new AsyncResource('INMESH_REQUEST', NO_DESTROY).runInAsyncScope(enter<T>, undefined, context, fn)
}

/**
 * Goes on on behalf of a request until the callback that Node is running ends, as Node then takes the context back itself. Half the cost of `withContext`, and
 * what runs later in the same callback is in the context, too. Only where `contextEndsWithCallback`; elsewhere it would stay with the connection.
 */
export function enterContext(context: RequestContext): void {
  storage.enterWith(context)
}

/** Without it Node would watch for the resource's collection. */
const NO_DESTROY = { requireManualDestroy: true }

function enter<T>(context: RequestContext, fn: () => T): T {
  storage.enterWith(context)
  return fn()
}

/** Whether this Node keeps contexts in frames (24 and above, unless told otherwise), and not in the resource of whoever calls: then the next call finds them. */
export const contextEndsWithCallback: boolean = endsWithCallback()

function endsWithCallback(): boolean {
  const probe = new AsyncLocalStorage<boolean>()
  const caller = new AsyncResource('INMESH_PROBE', NO_DESTROY)
  caller.runInAsyncScope(() => probe.enterWith(true))
  const found = caller.runInAsyncScope(() => probe.getStore())
  probe.disable()
  return found === undefined
}
