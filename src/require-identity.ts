import { MeshError } from './core/errors.ts'
import { withRequirement } from './core/identity-requirement.ts'
import { shown } from './core/options.ts'
import { spiffeIdProblem } from './tls/spiffe-id.ts'

/** They are compared one by one with those of each call's endpoint. */
const MAX_IDENTITIES = 100

/**
 * Runs `fn`, in which every call through a mesh, by whatever door, requires that whoever is called has proved one of these identities before anything is sent:
 * `requireIdentity('spiffe://inmesh.local/ns/default/sa/vault', () => mesh.fetch('http://vault/keys'))`. What `fn` starts is bound by it, too.
 *
 * An endpoint will do when all that it may prove is among them; others are passed over, and when none is left the call fails with a MeshError INMESH_IDENTITY,
 * nothing sent (of grpc-js: with UNAVAILABLE). Endpoints in plaintext will not do, nor will `https:` and hosts outside of the mesh. Within another requirement both
 * hold. Calls that don't go through a mesh are none of its business.
 *
 * @param ids SPIFFE IDs, 1 to 100
 * @returns what `fn` returns
 * @throws MeshError INMESH_CONFIG for what is none
 */
export function requireIdentity<T>(ids: string | readonly string[], fn: () => T): T {
  const list = typeof ids === 'string' ? [ids] : ids
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_IDENTITIES)
    throw new MeshError('INMESH_CONFIG', `requireIdentity: expected 1 to ${MAX_IDENTITIES} SPIFFE IDs, got ${shown(ids)}`)
  for (const id of list) {
    const problem = spiffeIdProblem(id)
    if (problem !== undefined)
      throw new MeshError('INMESH_CONFIG', `requireIdentity: expected a SPIFFE ID, got ${shown(id)}: ${problem}`)
  }
  return withRequirement(list.slice(), fn)
}
