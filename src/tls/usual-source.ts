import type { IdentitySourceFactory } from '../core/identity.ts'
import { localCa } from './local-ca.ts'
import { spiffe } from './spiffe.ts'

/** Where an identity comes from when nobody says so, and why from there. */
export interface UsualSource {
  readonly name: 'local-ca' | 'spiffe'
  readonly because: string
  readonly source: IdentitySourceFactory
}

/**
 * What the environment offers: a Workload API if `$SPIFFE_ENDPOINT_SOCKET` names one, else the machine's own CA.
 *
 * @param service this process's own; empty when it has none. What of it can't stand in a SPIFFE ID becomes `-`
 * @throws MeshError INMESH_CONFIG when the variable is no address of a Workload API
 */
export function usualSource(service: string): UsualSource {
  if (process.env.SPIFFE_ENDPOINT_SOCKET)
    return { name: 'spiffe', because: '$SPIFFE_ENDPOINT_SOCKET names a Workload API', source: spiffe() }
  const because = '$SPIFFE_ENDPOINT_SOCKET is not set, and no configuration was given'
  return { name: 'local-ca', because, source: localCa({ account: accountOf(service) }) }
}

/** The account of a process in an identity that is made here. */
export function accountOf(service: string): string {
  const account = service.replaceAll(/[^A-Za-z0-9._-]+/g, '-').slice(0, 255)
  return account === '' || account === '.' || account === '..' ? 'default' : account
}
