import type { RetryLoop } from '../core/clock.ts'

/**
 * A loop of one step: whoever stands at a terminal is told of a failure at once, and asks again. A failed step stays unanswered until the signal
 * ends it, since its failure has been reported by then.
 */
export const askOnce: RetryLoop = async (step, _delayMs, signal) => {
  try {
    return await step(1)
  } catch (failure) {
    if (signal === undefined || signal.aborted) throw failure
    return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
  }
}
