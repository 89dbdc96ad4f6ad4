import type { Runtime } from '../core/clock.ts'
import type { Address } from '../core/endpoint.ts'
import { expectedIdentities } from '../core/identity-requirement.ts'
import type { Keyring } from '../tls/keyring.ts'

/**
 * How the mesh secures the connections to a service's endpoints: by TLS 1.3, both ends showing who they are. It does so for whatever is called in
 * the clear (`http:`, grpc-js's insecure credentials); who speaks TLS of its own (`https:`) goes on doing so, to these endpoints too.
 *
 * An endpoint is never spoken to in plaintext if it is known whom to expect there: its entry in discovery names an identity, or the service allows
 * some.
 */
export interface MeshTls {
  /** Whom this process is, and whom it believes. */
  readonly keyring: Keyring
  readonly runtime: Runtime
  /** The service's name, for errors. */
  readonly service: string
  /** Whether an endpoint of which nobody knows whom to expect is not spoken to at all. */
  readonly strict: boolean
  /** SPIFFE IDs of which each of the service's endpoints must have one, whatever discovery names; empty for what discovery names. */
  readonly allowed: readonly string[]
}

/** The SPIFFE IDs of which an endpoint must prove one; none when nobody knows whom to expect. */
export function expectedIds(address: Address, { allowed }: MeshTls): readonly string[] {
  return expectedIdentities(address, allowed)
}
