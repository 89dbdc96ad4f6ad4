import { type Certificate, isSelfIssued } from './certificate.ts'
import { EXTENDED_KEY_USAGE, EXTENSION, KEY_USAGE } from './extensions.ts'
import { keyWeakness } from './public-key.ts'
import { type Problem, problem } from './refusal.ts'

/** The part that a peer plays in the connection. */
export type PeerRole = 'client' | 'server'

/** An empty SEQUENCE: a name without parts. */
const EMPTY_NAME_LENGTH = 2
/** The most bytes of a serial number (RFC 5280, 4.1.2.2). */
const MAX_SERIAL = 20

/** Extensions that RFC 5280 (4.2.1.1, 4.2.1.2, 4.2.2.1) forbids to mark critical. */
const NEVER_CRITICAL = [EXTENSION.authorityKeyId, EXTENSION.subjectKeyId, EXTENSION.authorityInfoAccess] as const

/** The first rule for workloads' certificates that this one breaks by itself, whoever signed it. */
export function leafProblem(leaf: Certificate, role: PeerRole): Problem | undefined {
  const { basicConstraints, keyUsage, extendedKeyUsage, critical } = leaf.extensions
  if (basicConstraints?.ca) return problem('ca', 'is a CA: a workload shows a certificate of its own, issue one without CA bit')
  if (basicConstraints?.pathLength !== undefined) return problem('ca', 'has a path length, which only a CA has')
  if (keyUsage === undefined) return problem('key-usage', 'has no key usage: issue it with digitalSignature')
  if ((keyUsage & (KEY_USAGE.keyCertSign | KEY_USAGE.crlSign)) !== 0) {
    return problem('key-usage', 'may sign certificates or revocation lists: issue it without keyCertSign and cRLSign')
  }
  if ((keyUsage & KEY_USAGE.digitalSignature) === 0)
    return problem('key-usage', 'may not sign handshakes: issue it with digitalSignature')
  if (!extendedKeyUsage?.includes(EXTENDED_KEY_USAGE[role])) {
    return problem('extended-key-usage', `is not for a ${role}: issue it with extended key usage serverAuth and clientAuth`)
  }
  if (extendedKeyUsage.includes(EXTENDED_KEY_USAGE.any)) {
    return problem('extended-key-usage', 'is for any usage: issue it with extended key usage serverAuth and clientAuth alone')
  }
  if (leaf.subject.length === EMPTY_NAME_LENGTH && !critical.includes(EXTENSION.subjectAltName)) {
    return problem('name', 'has no subject, so its alternative names must be marked critical')
  }
  return signatureProblem(leaf) ?? commonProblem(leaf)
}

/** The first rule for intermediates that this one breaks by itself. */
export function intermediateProblem(certificate: Certificate, role: PeerRole): Problem | undefined {
  return signatureProblem(certificate) ?? issuerProblem(certificate, role)
}

/** The first rule for issuers that this one breaks; how a trust anchor itself was signed says nothing. */
export function issuerProblem(issuer: Certificate, role: PeerRole): Problem | undefined {
  const { basicConstraints, keyUsage, extendedKeyUsage, critical } = issuer.extensions
  if (basicConstraints === undefined || !basicConstraints.ca) {
    return problem('ca', 'is not a CA and has signed another certificate: sign with a CA (basicConstraints CA:TRUE)')
  }
  if (!critical.includes(EXTENSION.basicConstraints)) return problem('extensions', 'has basicConstraints that are not critical')
  if (keyUsage !== undefined && (keyUsage & KEY_USAGE.keyCertSign) === 0) {
    return problem('key-usage', 'may not sign certificates: issue it with keyCertSign')
  }
  if (
    extendedKeyUsage !== undefined &&
    !extendedKeyUsage.some((oid) => oid === EXTENDED_KEY_USAGE[role] || oid === EXTENDED_KEY_USAGE.any)
  ) {
    return problem(
      'extended-key-usage',
      `may not vouch for a ${role}: leave out its extended key usage, or add serverAuth and clientAuth`,
    )
  }
  if (issuer.extensions.subjectKeyId === undefined) return problem('extensions', 'is a CA without subject key identifier')
  if (issuer.subject.length === EMPTY_NAME_LENGTH) return problem('name', 'has no subject and has signed another certificate')
  if (issuer.extensions.nameConstraints !== undefined && !critical.includes(EXTENSION.nameConstraints)) {
    return problem('extensions', 'has name constraints that are not critical')
  }
  return commonProblem(issuer)
}

/** Whether a certificate is valid at this time, give or take the skew. */
export function validityProblem({ notBefore, notAfter }: Certificate, now: number, skewMs: number): Problem | undefined {
  if (notAfter < notBefore) return problem('validity', `ends (${shownTime(notAfter)}) before it begins (${shownTime(notBefore)})`)
  if (now + skewMs < notBefore) {
    return problem(
      'validity',
      `is not valid before ${shownTime(notBefore)} and it is ${shownTime(now)}: compare the clocks, or wait`,
    )
  }
  if (now - skewMs > notAfter) {
    return problem('validity', `expired at ${shownTime(notAfter)} and it is ${shownTime(now)}: renew it, or compare the clocks`)
  }
  return undefined
}

function commonProblem(certificate: Certificate): Problem | undefined {
  if (certificate.version !== 3) return problem('version', `is X.509 version ${certificate.version}: only version 3 is taken`)
  return serialProblem(certificate.serial) ?? extensionsProblem(certificate) ?? keyProblem(certificate)
}

function serialProblem(serial: Buffer): Problem | undefined {
  if (serial.length > MAX_SERIAL)
    return problem('serial', `has a serial number of ${serial.length} bytes, at most ${MAX_SERIAL} are allowed`)
  if ((serial[0] as number) >= 0x80) return problem('serial', 'has a negative serial number')
  return serial.length === 1 && serial[0] === 0 ? problem('serial', 'has the serial number 0') : undefined
}

function extensionsProblem(certificate: Certificate): Problem | undefined {
  const { extensions } = certificate
  const { repeated, unknownCritical, critical } = extensions
  if (repeated.length > 0) return problem('extensions', `has the extension ${repeated[0]} twice`)
  if (unknownCritical.length > 0)
    return problem('extensions', `has the critical extension ${unknownCritical[0]}, which is not known here`)
  const marked = NEVER_CRITICAL.find((oid) => critical.includes(oid))
  if (marked !== undefined) return problem('extensions', `has the extension ${marked} marked critical, which it may not be`)
  return keyIdProblem(certificate) ?? caBitsProblem(certificate)
}

/** Says which key has signed where several CAs have the same name (RFC 5280, 4.2.1.1); a root that signs itself may leave it out. */
function keyIdProblem(certificate: Certificate): Problem | undefined {
  if (certificate.extensions.authorityKeyId !== undefined || isSelfIssued(certificate)) return undefined
  return problem('extensions', 'does not say which key has signed it: issue it with an authority key identifier')
}

function caBitsProblem({ extensions }: Certificate): Problem | undefined {
  const { basicConstraints, keyUsage = 0, nameConstraints, subjectAltNames } = extensions
  if (subjectAltNames?.length === 0) return problem('name', 'has an empty list of names')
  if (basicConstraints?.ca) return undefined
  if (nameConstraints !== undefined) return problem('extensions', 'has name constraints, which only a CA has')
  return (keyUsage & KEY_USAGE.keyCertSign) === 0 ? undefined : problem('ca', 'may sign certificates and is not a CA')
}

function keyProblem({ publicKey }: Certificate): Problem | undefined {
  const weakness = keyWeakness(publicKey)
  return weakness === undefined ? undefined : problem('weak-key', `has ${weakness}`)
}

function signatureProblem({ signatureAlgorithm, algorithmsAgree }: Certificate): Problem | undefined {
  if (!algorithmsAgree) return problem('signature-algorithm', 'names two different signature algorithms')
  if (signatureAlgorithm.hash !== undefined) return undefined
  return problem('signature-algorithm', `is signed by ${signatureAlgorithm.name}: sign with SHA-256 or stronger, or Ed25519`)
}

/** To the second, as certificates count. */
function shownTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
