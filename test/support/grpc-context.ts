import type { RequestContext } from '../../src/core/request-context.ts'

export interface TestContextOptions {
  readonly deadline?: number
  readonly attempt?: number
  readonly leaves?: AbortSignal
}

/** The context of a request that is being served, as a server's door would make it. */
export function requestContext({ deadline, attempt = 1, leaves }: TestContextOptions): RequestContext {
  const signal = leaves ?? new AbortController().signal
  return {
    deadline: deadline ?? Number.POSITIVE_INFINITY,
    attempt,
    caller: '',
    traceparent: '',
    tracestate: '',
    traceId: '',
    signal,
    onLeave(fn) {
      const left = (): void => fn(signal.reason as Error)
      if (signal.aborted) left()
      else signal.addEventListener('abort', left, { once: true })
      return () => signal.removeEventListener('abort', left)
    },
  }
}
