import type { Attempt } from '../core/attempt.ts'
import { MeshError } from '../core/errors.ts'
import type { Route } from '../core/route.ts'
import type { Verdict } from '../core/verdict.ts'

/**
 * No attempt of a call gave an answer.
 *
 * @param note why there was no further one, if that is not plain
 * @param attempts how many there were, if this was not the last to be sent
 */
export function attemptsFailed(last: Attempt, { reason }: Verdict, cause: Error, note = '', attempts = last.number): MeshError {
  const { endpoint, route } = last
  const service = route.service.name
  const count = attempts === 1 ? '1 attempt failed,' : `${attempts} attempts failed, last`
  const text = `${service}: ${count} on ${endpoint.name}: ${messageOf(cause)}${note}`
  return MeshError.refusal('INMESH_ATTEMPTS_FAILED', text, { service, endpoint: endpoint.name, attempts, reason, cause })
}

/** An error of several addresses has no message of its own. */
function messageOf(error: Error): string {
  // OpenSSL's messages end in a line break
  if (error.message !== '') return error.message.trim()
  return error instanceof AggregateError ? String(error.errors[0]?.message) : ((error as { code?: string }).code ?? error.name)
}

/** An attempt took too long. */
export function tryTimedOut({ endpoint, number, route }: Attempt, what: 'answer' | 'connection'): MeshError {
  const details = { service: route.service.name, endpoint: endpoint.name, attempts: number, reason: 'try_timeout' } as const
  return MeshError.refusal('INMESH_TIMEOUT', `no ${what} within ${route.perTryTimeoutMs} ms`, details)
}

/** The call's whole time is spent, in its `last` attempt or between two. */
export function timedOut({ service, timeoutMs }: Route, attempts: number, last: Attempt | undefined): MeshError {
  const where = last === undefined ? '' : `, last on ${last.endpoint.name}`
  const text = `${service.name}: no whole answer within ${timeoutMs} ms (attempts: ${attempts}${where})`
  const details = { service: service.name, attempts, reason: 'timeout' } as const
  return MeshError.refusal('INMESH_TIMEOUT', text, last === undefined ? details : { ...details, endpoint: last.endpoint.name })
}

/** The service's own breaker is open. */
export function breakerOpen({ service }: Route): MeshError {
  const details = { service: service.name, reason: 'breaker_open' } as const
  return MeshError.refusal('INMESH_BREAKER_OPEN', `${service.name}: breaker open`, details)
}

/** The door was shut first. */
export function closedError(message: string): MeshError {
  return MeshError.refusal('INMESH_CLOSED', message, { reason: 'closed' })
}
