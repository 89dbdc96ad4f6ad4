import type { Attempt } from './attempt.ts'
import type { Call } from './call.ts'
import type { Route } from './route.ts'
import type { Service } from './service.ts'
import type { Verdict } from './verdict.ts'

/** Looks on: metrics, tap, tracing, access log. Annotates, never decides; must not throw. Every method runs per request. */
export interface Observer {
  /** The application made a call and its route is known. */
  callStarted(call: Call, route: Route): void
  /** An attempt got its endpoint. */
  attemptStarted(attempt: Attempt, route: Route): void
  /**
   * An attempt is over.
   *
   * @param elapsedMs from the start of the attempt to the answer's last byte or the failure; `attempt.elapsedMs` is to the head
   */
  attemptEnded(attempt: Attempt, route: Route, verdict: Verdict, elapsedMs: number): void
  /**
   * The caller has its answer, whole, or its error.
   *
   * @param elapsedMs from the call to the last byte
   * @param attempts how many there were, 0 when none could be made
   * @param status the HTTP status the caller saw; 0 for none
   */
  callEnded(call: Call, route: Route, verdict: Verdict, elapsedMs: number, attempts: number, status: number): void
  /** The service's set of endpoints, or what state they are in, changed. */
  endpointsChanged(service: Service): void
}

/** Looks away. */
export const noObserver: Observer = {
  callStarted() {},
  attemptStarted() {},
  attemptEnded() {},
  callEnded() {},
  endpointsChanged() {},
}

/** One observer that tells them all, in order. */
export function observers(list: readonly Observer[]): Observer {
  const [only] = list
  if (only === undefined) return noObserver
  if (list.length === 1) return only
  return {
    callStarted(call, route) {
      for (const o of list) o.callStarted(call, route)
    },
    attemptStarted(attempt, route) {
      for (const o of list) o.attemptStarted(attempt, route)
    },
    attemptEnded(attempt, route, verdict, elapsedMs) {
      for (const o of list) o.attemptEnded(attempt, route, verdict, elapsedMs)
    },
    callEnded(call, route, verdict, elapsedMs, attempts, status) {
      for (const o of list) o.callEnded(call, route, verdict, elapsedMs, attempts, status)
    },
    endpointsChanged(service) {
      for (const o of list) o.endpointsChanged(service)
    },
  }
}
