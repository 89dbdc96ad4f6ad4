import { type KeyObject, verify } from 'node:crypto'
import { MeshError } from '../core/errors.ts'
import { type Certificate, isKeyIdOther } from './certificate.ts'
import {
  constructedTag,
  DerReader,
  implicitTag,
  integerBytes,
  onlyElement,
  readSmallInteger,
  readTime,
  TAG,
  wholeBytes,
} from './der.ts'
import { EXTENSION, readExtension } from './extensions.ts'
import { readRevocationLists } from './pem.ts'
import { readSignatureAlgorithm, type SignatureAlgorithm } from './signature-algorithm.ts'

const CRL_NUMBER = '2.5.29.20'
const NO_NUMBER = 'it has no number (cRLNumber): have its CA write one'

/** The most bytes of one list: some 25,000 revoked certificates. */
export const MAX_LIST = 1_000_000

/**
 * A list of revoked certificates (RFC 5280, 5) of one issuer. Whole lists only: partial, indirect and delta lists are refused when they are
 * read, since using them as whole ones would pass what they leave out.
 */
export class RevocationList {
  readonly issuer: Buffer
  readonly thisUpdate: number
  /** Undefined when it never ends. */
  readonly nextUpdate: number | undefined
  readonly authorityKeyId: Buffer | undefined
  readonly #revoked: ReadonlySet<string>
  readonly #signed: Buffer
  readonly #signature: Buffer
  readonly #algorithm: SignatureAlgorithm
  /** The SubjectPublicKeyInfo that it was last found to be signed with: it is asked again for each connection. */
  #signer: Buffer | undefined

  /** @throws DerError */
  constructor(der: Uint8Array) {
    const outer = new DerReader(onlyElement(der).content)
    const signed = outer.next(TAG.sequence)
    const algorithm = outer.next(TAG.sequence)
    this.#signed = signed.raw
    this.#algorithm = readSignatureAlgorithm(algorithm)
    this.#signature = wholeBytes(outer.next(TAG.bitString))
    outer.end()

    const reader = new DerReader(signed.content)
    const version = reader.optional(TAG.integer)
    if (version !== undefined && readSmallInteger(version) !== 1) throw new Error('a version other than 2')
    if (!reader.next(TAG.sequence).raw.equals(algorithm.raw)) throw new Error('two different signature algorithms')
    this.issuer = reader.next(TAG.sequence).raw
    this.thisUpdate = readTime(reader.next())
    const timed = reader.nextTag === TAG.utcTime || reader.nextTag === TAG.generalizedTime
    this.nextUpdate = timed ? readTime(reader.next()) : undefined
    this.#revoked = reader.nextTag === TAG.sequence ? readRevoked(reader.inside()) : new Set()
    if (reader.nextTag !== constructedTag(0)) throw new Error(NO_NUMBER)
    this.authorityKeyId = readListExtensions(reader.inside(constructedTag(0)).inside())
    reader.end()
  }

  /** Whether it speaks of what this issuer signs; an issuer of the same name with another key has lists of its own. */
  isOf(issuer: Certificate): boolean {
    return this.issuer.equals(issuer.subject) && !isKeyIdOther(this.authorityKeyId, issuer.extensions.subjectKeyId)
  }

  /** Whether this issuer has signed it. The first asking costs a signature's check, the next none. */
  isSignedBy(issuer: Certificate): boolean {
    if (this.#signer?.equals(issuer.publicKeyInfo)) return true
    if (this.#algorithm.hash === undefined) return false
    if (!isSignatureOf(this.#signature, this.#signed, this.#algorithm, issuer.x509.publicKey)) return false
    this.#signer = issuer.publicKeyInfo
    return true
  }

  has({ serial }: Certificate): boolean {
    return this.#revoked.has(serial.toString('hex'))
  }
}

/**
 * The revocation lists of a file: PEM, or one as DER.
 *
 * @param what how the file is called in an error
 * @throws MeshError INMESH_IDENTITY when there is none, or one can't be read or used
 */
export function readRevocations(content: Uint8Array, what: string): RevocationList[] {
  const bytes = Buffer.from(content.buffer, content.byteOffset, content.byteLength)
  if (bytes.length > MAX_LIST)
    throw new MeshError('INMESH_IDENTITY', `${what}: ${bytes.length} bytes, at most ${MAX_LIST} are read`)
  const ders = bytes[0] === TAG.sequence ? [bytes] : readRevocationLists(bytes.toString('latin1'), what)
  return ders.map((der, index) => {
    try {
      return new RevocationList(der)
    } catch (cause) {
      throw new MeshError(
        'INMESH_IDENTITY',
        `${what}: revocation list ${index + 1}: can't be used: ${(cause as Error).message}`,
        { cause },
      )
    }
  })
}

function readRevoked(reader: DerReader): Set<string> {
  const serials = new Set<string>()
  while (!reader.done) {
    const entry = reader.inside()
    serials.add(integerBytes(entry.next(TAG.integer)).toString('hex'))
    readTime(entry.next())
    if (!entry.done) refuseCritical(entry.inside())
    entry.end()
  }
  return serials
}

/** Answers the authority key identifier. A list without number can't be told from an older one (RFC 5280, 5.2.3). */
function readListExtensions(reader: DerReader): Buffer | undefined {
  let keyId: Buffer | undefined
  let numbered = false
  while (!reader.done) {
    const { oid, critical, value } = readExtension(reader)
    if (oid === EXTENSION.authorityKeyId) keyId = new DerReader(onlyElement(value).content).optional(implicitTag(0))?.content
    else if (oid === CRL_NUMBER && !critical) numbered = true
    else if (critical) throw new Error(`a critical extension ${oid}: only whole lists of one issuer are taken`)
  }
  if (!numbered) throw new Error(NO_NUMBER)
  return keyId
}

function refuseCritical(reader: DerReader): void {
  while (!reader.done) {
    const { oid, critical } = readExtension(reader)
    if (critical) throw new Error(`an entry with a critical extension ${oid}: only whole lists of one issuer are taken`)
  }
}

function isSignatureOf(signature: Buffer, signed: Buffer, algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  try {
    return verify(algorithm.hash, signed, key, signature)
  } catch {
    return false
  }
}
