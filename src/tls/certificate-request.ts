import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import {
  constructedTag,
  type DerElement,
  DerError,
  DerReader,
  onlyElement,
  readOid,
  readSmallInteger,
  TAG,
  wholeBytes,
} from './der.ts'
import { readExtensions } from './extensions.ts'
import type { GeneralName } from './general-name.ts'
import { readSignatureAlgorithm } from './signature-algorithm.ts'

/** The most bytes of one request: as of a certificate. */
const MAX_REQUEST = 64 * 1024
/** The attribute that holds the extensions that are asked for (RFC 2985, 5.4.2). */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

/** A request for a certificate, signed by the key that it names. */
export interface CertificateRequest {
  readonly publicKey: KeyObject
  /** The alternative names that are asked for. Its subject and its other wishes count for nothing. */
  readonly names: readonly GeneralName[]
}

/**
 * Reads a request (PKCS#10, RFC 2986) and checks that its sender has the key.
 *
 * @throws DerError for what is none, is larger than 64 KiB, or is not signed by its own key
 */
export function readCertificateRequest(der: Uint8Array): CertificateRequest {
  if (der.byteLength > MAX_REQUEST) throw new DerError(`${der.byteLength} bytes, at most ${MAX_REQUEST} are read`)
  const outer = new DerReader(onlyElement(der).content)
  const signed = outer.next(TAG.sequence)
  const { hash, name } = readSignatureAlgorithm(outer.next(TAG.sequence))
  const signature = wholeBytes(outer.next(TAG.bitString))
  outer.end()

  const reader = new DerReader(signed.content)
  if (readSmallInteger(reader.next(TAG.integer)) !== 0) throw new DerError('a request of a version other than 1')
  reader.next(TAG.sequence)
  const publicKey = keyOf(reader.next(TAG.sequence))
  const attributes = reader.optional(constructedTag(0))
  reader.end()
  if (hash === undefined) throw new DerError(`it is signed by ${name}: sign with SHA-256 or stronger, or Ed25519`)
  if (!isSigned(hash, signed, publicKey, signature)) throw new DerError('its signature is not that of its key')
  return { publicKey, names: attributes === undefined ? [] : namesIn(attributes) }
}

function keyOf({ raw }: DerElement): KeyObject {
  try {
    return createPublicKey({ key: raw, format: 'der', type: 'spki' })
  } catch {
    throw new DerError('a key that OpenSSL can not read')
  }
}

function isSigned(hash: string | null, { raw }: DerElement, publicKey: KeyObject, signature: Buffer): boolean {
  try {
    return verify(hash, raw, publicKey, signature)
  } catch {
    // A signature of another kind than the key.
    return false
  }
}

function namesIn({ content }: DerElement): readonly GeneralName[] {
  const reader = new DerReader(content)
  let names: readonly GeneralName[] | undefined
  while (!reader.done) {
    const attribute = reader.inside()
    const oid = readOid(attribute.next(TAG.oid))
    const values = attribute.inside(TAG.set)
    attribute.end()
    if (oid !== EXTENSION_REQUEST) continue
    if (names !== undefined) throw new DerError('two lists of extensions')
    const { repeated, subjectAltNames } = readExtensions(values.inside())
    values.end()
    if (repeated.length > 0) throw new DerError(`the extension ${repeated[0]} twice`)
    names = subjectAltNames ?? []
  }
  return names ?? []
}
