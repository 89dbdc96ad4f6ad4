import { type DerElement, DerReader, integerBytes, readOid, TAG, wholeBytes } from './der.ts'

/** What a certificate's key is, as far as its strength depends on it. */
export type PublicKey =
  | { readonly kind: 'ec'; readonly curve: string }
  | { readonly kind: 'rsa'; readonly bits: number; readonly oddExponent: boolean }
  | { readonly kind: 'ed25519' }
  | { readonly kind: 'other'; readonly algorithm: string }

const CURVES: Readonly<Record<string, string>> = {
  '1.2.840.10045.3.1.1': 'P-192',
  '1.3.132.0.33': 'P-224',
  '1.2.840.10045.3.1.7': 'P-256',
  '1.3.132.0.34': 'P-384',
  '1.3.132.0.35': 'P-521',
  '1.3.132.0.10': 'secp256k1',
}

/** Reads a SubjectPublicKeyInfo (RFC 5280, 4.1.2.7). @throws DerError */
export function readPublicKey(info: DerElement): PublicKey {
  const reader = new DerReader(info.content)
  const algorithm = reader.inside()
  const oid = readOid(algorithm.next(TAG.oid))
  const key = wholeBytes(reader.next(TAG.bitString))
  reader.end()
  if (oid === '1.2.840.10045.2.1') return { kind: 'ec', curve: readCurve(algorithm) }
  if (oid === '1.2.840.113549.1.1.1') return readRsa(key)
  if (oid === '1.3.101.112') return { kind: 'ed25519' }
  return { kind: 'other', algorithm: oid }
}

/** Why a key is too weak, or of a kind that is not taken; undefined when it is strong. */
export function keyWeakness(key: PublicKey): string | undefined {
  switch (key.kind) {
    case 'ed25519':
      return undefined
    case 'ec':
      return /^P-(256|384|521)$/.test(key.curve) ? undefined : `an EC key on ${key.curve}, use P-256, P-384 or P-521`
    case 'rsa':
      if (key.bits < 2048) return `an RSA key of ${key.bits} bits, use 2048 or more, or P-256`
      if (key.bits % 8 !== 0) return `an RSA key of ${key.bits} bits, which is no whole number of bytes`
      if (key.bits > 16_384) return `an RSA key of ${key.bits} bits, at most 16384 are taken`
      return key.oddExponent ? undefined : 'an RSA key with an even exponent, or one of 1'
    case 'other':
      return `a key of the kind ${key.algorithm}, use P-256, Ed25519 or RSA`
  }
}

/** The curve's name; curves that are spelled out instead of named are not taken, whatever they are. */
function readCurve(algorithm: DerReader): string {
  if (algorithm.nextTag !== TAG.oid) return 'a curve without a name'
  const oid = readOid(algorithm.next(TAG.oid))
  return CURVES[oid] ?? oid
}

function readRsa(key: Buffer): PublicKey {
  const numbers = new DerReader(key).inside()
  const modulus = integerBytes(numbers.next(TAG.integer))
  const exponent = integerBytes(numbers.next(TAG.integer))
  const significant = modulus[0] === 0 ? modulus.subarray(1) : modulus
  const bits = significant.length === 0 ? 0 : significant.length * 8 - Math.clz32(significant[0] as number) + 24
  const last = exponent[exponent.length - 1] as number
  return { kind: 'rsa', bits, oddExponent: (last & 1) === 1 && (exponent.length > 1 || last > 1) }
}
