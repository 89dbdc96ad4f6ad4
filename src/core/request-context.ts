import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * What a request that this process is serving passes on to every call made while serving it: how long there is left, whether somebody
 * still waits, and whether it is a resend already. Travels by itself, through AsyncLocalStorage.
 */
export interface RequestContext {
  /** When the caller's patience ends, in monotonic milliseconds of this process; Infinity for never. Clocks of machines are not compared. */
  readonly deadline: number
  /** From 1; above 1 the request is a resend, and what is called on its behalf is not sent again in its turn. */
  readonly attempt: number
  /** The caller's service; empty when it did not say. */
  readonly caller: string
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

/** Runs `fn` on behalf of a request. Everything it starts inherits the context. */
export function withContext<T>(context: RequestContext, fn: () => T): T {
  return storage.run(context, fn)
}
