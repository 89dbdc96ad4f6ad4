import { X509Certificate } from 'node:crypto'
import {
  constructedTag,
  type DerElement,
  DerError,
  DerReader,
  implicitTag,
  integerBytes,
  onlyElement,
  readSmallInteger,
  readTime,
  TAG,
  wholeBytes,
} from './der.ts'
import { type Extensions, noExtensions, readExtensions } from './extensions.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'
import { readSignatureAlgorithm, type SignatureAlgorithm } from './signature-algorithm.ts'

/** The most bytes of one certificate: ten times what an RSA-4096 leaf with its extensions has. */
const MAX_CERTIFICATE = 64 * 1024

/**
 * A certificate (RFC 5280) with all that deciding on it takes, read strictly. Names of subject and issuer stay bytes: they are compared and
 * never interpreted.
 */
export interface Certificate {
  readonly raw: Buffer
  /** 1, 2 or 3. */
  readonly version: number
  /** Two's complement: the bytes as they stand. */
  readonly serial: Buffer
  /** The same algorithm stands inside and outside of what is signed; `false` when it does not. */
  readonly algorithmsAgree: boolean
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly issuer: Buffer
  readonly subject: Buffer
  /** In milliseconds since 1970; the last instant counts. */
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: PublicKey
  /** The SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Buffer
  readonly extensions: Extensions
  /** Node's own view of it, which checks signatures; made when first asked for. */
  readonly x509: X509Certificate
  /** Whether its signature is that of the issuer's key, whoever may sign. About 0.06 ms (P-256), nothing for the key that was last found to fit. */
  isSignedBy(issuer: Certificate): boolean
}

/** Reads one certificate. The bytes are kept. @throws DerError for what is none, is larger than 64 KiB or has something behind it */
export function readCertificate(der: Uint8Array): Certificate {
  if (der.byteLength > MAX_CERTIFICATE) throw new DerError(`${der.byteLength} bytes, at most ${MAX_CERTIFICATE} are read`)
  const raw = Buffer.from(der.buffer, der.byteOffset, der.byteLength)
  const outer = new DerReader(onlyElement(raw).content)
  const signed = outer.next(TAG.sequence)
  const algorithm = outer.next(TAG.sequence)
  wholeBytes(outer.next(TAG.bitString))
  outer.end()
  return new ReadCertificate(raw, signed, algorithm)
}

class ReadCertificate implements Certificate {
  readonly raw: Buffer
  readonly version: number
  readonly serial: Buffer
  readonly algorithmsAgree: boolean
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly issuer: Buffer
  readonly subject: Buffer
  readonly notBefore: number
  readonly notAfter: number
  readonly publicKey: PublicKey
  readonly publicKeyInfo: Buffer
  readonly extensions: Extensions
  #x509: X509Certificate | undefined
  /** The SubjectPublicKeyInfo that it was last found to be signed with. */
  #signer: Buffer | undefined

  constructor(raw: Buffer, signed: DerElement, algorithm: DerElement) {
    const reader = new DerReader(signed.content)
    this.raw = raw
    this.version = readVersion(reader)
    this.serial = integerBytes(reader.next(TAG.integer))
    this.algorithmsAgree = reader.next(TAG.sequence).raw.equals(algorithm.raw)
    this.signatureAlgorithm = readSignatureAlgorithm(algorithm)
    this.issuer = reader.next(TAG.sequence).raw
    const validity = reader.inside()
    this.notBefore = readTime(validity.next())
    this.notAfter = readTime(validity.next())
    validity.end()
    this.subject = reader.next(TAG.sequence).raw
    const info = reader.next(TAG.sequence)
    this.publicKeyInfo = info.raw
    this.publicKey = readPublicKey(info)
    this.extensions = readTail(reader)
  }

  get x509(): X509Certificate {
    this.#x509 ??= new X509Certificate(this.raw)
    return this.#x509
  }

  isSignedBy(issuer: Certificate): boolean {
    if (this.#signer?.equals(issuer.publicKeyInfo)) return true
    try {
      // Node's view is not kept: it is 5 KB, and who does not sign others is asked once.
      const own = this.#x509 ?? new X509Certificate(this.raw)
      if (!own.verify(issuer.x509.publicKey)) return false
    } catch {
      // A key that OpenSSL can't read, as a point that is not on its curve.
      return false
    }
    this.#signer = issuer.publicKeyInfo
    return true
  }
}

function readVersion(reader: DerReader): number {
  if (reader.nextTag !== constructedTag(0)) return 1
  const inside = reader.inside(constructedTag(0))
  const version = readSmallInteger(inside.next(TAG.integer)) + 1
  inside.end()
  if (version !== 2 && version !== 3) throw new DerError(`version ${version}`)
  return version
}

/** Unique identifiers, which nobody uses, and extensions. */
function readTail(reader: DerReader): Extensions {
  reader.optional(implicitTag(1))
  reader.optional(implicitTag(2))
  if (reader.done) return noExtensions
  const wrapped = reader.inside(constructedTag(3))
  reader.end()
  const list = wrapped.inside()
  wrapped.end()
  if (list.done) throw new DerError('an empty list of extensions')
  return readExtensions(list)
}

/** The issuer and the subject of a certificate that names itself as its issuer are the same. */
export const isSelfIssued = (certificate: Certificate): boolean => certificate.issuer.equals(certificate.subject)

/** How a certificate is called in an error: by its serial number, which is a stranger's, so it is cut short. */
export function serialOf({ serial }: Certificate): string {
  const hex = serial.toString('hex')
  return hex.length > 40 ? `${hex.slice(0, 40)}...` : hex
}

/** Whether two key identifiers are both there and differ. */
export function isKeyIdOther(one: Buffer | undefined, two: Buffer | undefined): boolean {
  return one !== undefined && two !== undefined && !one.equals(two)
}
