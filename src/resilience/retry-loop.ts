import pRetry from 'p-retry'
import type { Clock, RetryLoop } from '../core/clock.ts'

/**
 * The loop of every resend and reconnect, run by p-retry: it counts, stops on the signal and keeps the last failure. The
 * waits are the caller's and pass on the given clock, so p-retry's own backoff is off.
 *
 * A wait holds the process: whoever started the loop is waiting for it.
 */
export function retryLoop(clock: Clock): RetryLoop {
  return async (step, delayMs, signal) => {
    try {
      return await pRetry((number) => carried(step, number), {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: 0,
        maxTimeout: 0,
        ...(signal ? { signal } : {}),
        onFailedAttempt: async ({ error, attemptNumber }) => {
          const ms = delayMs((error as Failure).failure, attemptNumber)
          if (ms < 0) throw error
          if (ms > 0) await pause(clock, ms, signal)
        },
      })
    } catch (error) {
      throw error instanceof Failure ? error.failure : error
    }
  }
}

/** Carries a failure through p-retry, which treats TypeErrors and non-errors as final. */
class Failure extends Error {
  readonly failure: unknown

  constructor(failure: unknown) {
    super('step failed')
    this.failure = failure
  }
}

async function carried<T>(step: (number: number) => Promise<T>, number: number): Promise<T> {
  try {
    return await step(number)
  } catch (failure) {
    throw new Failure(failure)
  }
}

function pause(clock: Clock, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    // Whoever was asked for the wait may have aborted, and a listener added now would not hear of it.
    signal?.throwIfAborted()
    const leave = () => {
      timer.cancel()
      reject(signal?.reason)
    }
    const timer = clock.hold(ms, () => {
      signal?.removeEventListener('abort', leave)
      resolve()
    })
    signal?.addEventListener('abort', leave, { once: true })
  })
}
