import type { Call } from './call.ts'
import { MeshError } from './errors.ts'
import { meetsRequirement, requirementUnmet } from './identity-requirement.ts'
import type { Service } from './service.ts'

/**
 * Why no attempt could be made, with the counts.
 *
 * @param attempts how many the call had made before
 * @param call to be given if it may require something of the endpoint
 */
export function refusalOf(service: Service, attempts: number, call?: Call): MeshError {
  const { name, counts, inFlight, discoveryError, identities } = service
  const { total, ready } = counts
  if (total > 0) {
    const isUnmet = call !== undefined && !service.endpoints.some((endpoint) => meetsRequirement(call, endpoint, identities))
    if (isUnmet) return requirementUnmet(call, service, attempts)
    const text = `${name}: every endpoint refused (${ready} of ${total} ready, ${inFlight} in flight)`
    return MeshError.refusal('INMESH_REFUSED', text, { service: name, attempts, reason: 'refused' })
  }
  const why = discoveryError === undefined ? '' : `: ${withoutPrefix(discoveryError.message, `${name}: `)}`
  return MeshError.refusal('INMESH_NO_ENDPOINT', `${name}: no endpoint (0 of 0 ready)${why}`, {
    service: name,
    attempts,
    reason: 'no_endpoint',
    cause: discoveryError,
  })
}

/** A driver's message begins with the service's name, as ours does. */
function withoutPrefix(text: string, prefix: string): string {
  return text.startsWith(prefix) ? text.slice(prefix.length) : text
}
