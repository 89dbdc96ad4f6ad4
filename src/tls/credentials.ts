import { constants } from 'node:crypto'
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { MeshError } from '../core/errors.ts'
import type { Identity } from '../core/identity.ts'
import type { BelievedCertificates } from './believed-certificates.ts'
import { Verifier, type VerifierOptions } from './verify.ts'

const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256'
const GROUPS = 'X25519:P-256:P-384'
/** Holds against quantum computers, too; OpenSSL has it from 3.5 on, which is Node 24's. */
const HYBRID_GROUPS = `X25519MLKEM768:${GROUPS}`

/** What is made of one identity, once: contexts for both sides, and the verifier of its trust. */
export interface Credentials {
  readonly identity: Identity
  readonly clientContext: SecureContext
  readonly serverContext: SecureContext
  readonly verifier: Verifier
}

/**
 * Makes all that handshakes need of an identity. Costs 2 to 3 ms.
 *
 * @throws MeshError INMESH_IDENTITY when a certificate, the key or a trust bundle can't be used
 */
export function makeCredentials(
  identity: Identity,
  options: VerifierOptions | undefined,
  believed: BelievedCertificates,
): Credentials {
  const verifier = new Verifier(identity.trust, options, believed)
  const common = contextOptions(identity)
  try {
    const ecdhCurve = offeredGroups()
    return {
      identity,
      verifier,
      clientContext: createSecureContext({ ...common, ca: Object.values(identity.trust).flat(), ecdhCurve }),
      serverContext: createSecureContext({ ...common, ...NO_AUTHORITIES, ecdhCurve, ...noResumption(identity) }),
    }
  } catch (cause) {
    // OpenSSL's words say which part; they quote nothing of the key.
    const message = `${identity.id}: OpenSSL can't use this identity: ${(cause as Error).message}`
    throw new MeshError('INMESH_IDENTITY', message, { cause })
  }
}

/** The groups for the exchange of keys that this runtime's OpenSSL has, the best first. */
function offeredGroups(): string {
  try {
    createSecureContext({ ...NO_AUTHORITIES, ecdhCurve: HYBRID_GROUPS })
    return HYBRID_GROUPS
  } catch {
    return GROUPS
  }
}

/**
 * Callers are believed by the verifier alone. OpenSSL would check every chain a second time (0.1 ms) and tell strangers whom this process
 * trusts; without the list it would load that of the public web.
 */
const NO_AUTHORITIES: SecureContextOptions = { ca: [] }

function contextOptions({ certificates, key }: Identity): SecureContextOptions {
  return { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', cert: certificates, key, ciphers: CIPHERS }
}

/**
 * No session is resumed: a ticket would let a peer in whose certificate has been revoked since, or whose root is gone, and a handshake costs
 * about a millisecond. Tickets without state are off; those with state are kept by nobody.
 */
function noResumption({ id }: Identity): SecureContextOptions {
  return { secureOptions: constants.SSL_OP_NO_TICKET, sessionIdContext: id.slice(-32) }
}
