import { type InterceptingListener, Metadata, status as Status, type StatusObject } from '@grpc/grpc-js'
import type { MeshError } from '../../core/errors.ts'
import type { Route } from '../../core/route.ts'
import type { Verdict } from '../../core/verdict.ts'
import type { AttemptCall } from './attempt-call.ts'
import { isOurs } from './judge-status.ts'

/** A status made here, as the application gets it. */
export function statusOf(code: Status, details: string): StatusObject {
  return { code, details, metadata: new Metadata() }
}

/** Why no attempt was or will be made. */
export function refused(error: MeshError): StatusObject {
  return statusOf(Status.UNAVAILABLE, error.message)
}

/**
 * What the last attempt of a call ended with. What a server answered stays as it is, unless there were other attempts before; a failure is
 * told with its path; the code and the metadata are always those of the last.
 *
 * @param number how many attempts there were
 */
export function lastStatus(
  { attempt }: AttemptCall,
  verdict: Verdict,
  status: StatusObject,
  note: string,
  number: number,
): StatusObject {
  const { endpoint, route } = attempt
  if (verdict.outcome === 'success' || verdict.outcome === 'ignored' || (number === 1 && !isOurs(status))) return status
  const count = number === 1 ? '1 attempt failed,' : `${number} attempts failed, last`
  return { ...status, details: `${route.service.name}: ${count} on ${endpoint.name}: ${status.details}${note}` }
}

/** The call's whole time is spent. */
export function timedOut(route: Route, elapsedMs: number, attempts: number, current: AttemptCall | undefined): StatusObject {
  const where = current === undefined ? '' : `, last on ${current.attempt.endpoint.name}`
  const text = `${route.service.name}: no whole answer within ${Math.round(elapsedMs)} ms (attempts: ${attempts}${where})`
  return statusOf(Status.DEADLINE_EXCEEDED, text)
}

/** The service's own breaker is open. */
export function breakerOpen({ service }: Route): StatusObject {
  return statusOf(Status.UNAVAILABLE, `${service.name}: breaker open`)
}

/** Tells the client how its call ended. */
export function deliver(listener: InterceptingListener, status: StatusObject): void {
  listener.onReceiveStatus(status)
}
