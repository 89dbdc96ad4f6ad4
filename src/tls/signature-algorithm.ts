import { constructedTag, type DerElement, DerReader, readOid, TAG } from './der.ts'

/** How something was signed. */
export interface SignatureAlgorithm {
  readonly oid: string
  readonly name: string
  /** The hash to give to `crypto.verify`; null for Ed25519, which brings its own. Undefined: not one that is taken. */
  readonly hash: string | null | undefined
}

const RSASSA_PSS = '1.2.840.113549.1.1.10'

const ALGORITHMS: Readonly<Record<string, readonly [name: string, hash?: string | null]>> = {
  '1.2.840.10045.4.3.2': ['ECDSA with SHA-256', 'sha256'],
  '1.2.840.10045.4.3.3': ['ECDSA with SHA-384', 'sha384'],
  '1.2.840.10045.4.3.4': ['ECDSA with SHA-512', 'sha512'],
  '1.2.840.113549.1.1.11': ['RSA with SHA-256', 'sha256'],
  '1.2.840.113549.1.1.12': ['RSA with SHA-384', 'sha384'],
  '1.2.840.113549.1.1.13': ['RSA with SHA-512', 'sha512'],
  '1.3.101.112': ['Ed25519', null],
  '1.2.840.10045.4.1': ['ECDSA with SHA-1'],
  '1.2.840.113549.1.1.2': ['RSA with MD2'],
  '1.2.840.113549.1.1.4': ['RSA with MD5'],
  '1.2.840.113549.1.1.5': ['RSA with SHA-1'],
}

const HASHES: Readonly<Record<string, string>> = {
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/** Reads an AlgorithmIdentifier (RFC 5280, 4.1.1.2). @throws DerError */
export function readSignatureAlgorithm(identifier: DerElement): SignatureAlgorithm {
  const reader = new DerReader(identifier.content)
  const oid = readOid(reader.next(TAG.oid))
  if (oid === RSASSA_PSS) return { oid, name: 'RSASSA-PSS', hash: readPssHash(reader) }
  const [name, hash] = ALGORITHMS[oid] ?? [oid]
  return { oid, name, hash }
}

/** RSASSA-PSS names its hash in its parameters, SHA-1 when it names none (RFC 4055, 3.1). */
function readPssHash(reader: DerReader): string | undefined {
  if (reader.nextTag !== TAG.sequence) return undefined
  const parameters = reader.inside()
  if (parameters.nextTag !== constructedTag(0)) return undefined
  return HASHES[readOid(parameters.inside(constructedTag(0)).inside().next(TAG.oid))]
}
