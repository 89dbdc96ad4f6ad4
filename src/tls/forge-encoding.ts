import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import type forge from 'node-forge'
import { MeshError } from '../core/errors.ts'

/** What a certificate shall say. */
export interface CertificateText {
  /** Positive, in hex, two digits a byte. */
  readonly serial: string
  /** The issuer's whole subject as DER; undefined for a root, which is its own issuer. */
  readonly issuer: Buffer | undefined
  /** The common name; empty for a certificate that is known by its alternative names alone. */
  readonly commonName: string
  readonly notBefore: number
  readonly notAfter: number
  /** SubjectPublicKeyInfo as DER. */
  readonly publicKeyInfo: Buffer
  readonly extensions: readonly ForgeExtension[]
}

/** An extension as node-forge takes it: by its name and fields, or by its identifier and value. */
export type ForgeExtension = Readonly<Record<string, unknown>>

type Forge = typeof forge
type Asn1 = forge.asn1.Asn1

/**
 * Encodes and signs a certificate. node-forge writes the structure, which knows RSA keys alone; the key and the algorithm are put in their
 * places after it, and node:crypto signs.
 */
export async function encodeCertificate(text: CertificateText, signer: KeyObject): Promise<Buffer> {
  const forge = await loadForge()
  const certificate = forge.pki.createCertificate()
  certificate.serialNumber = text.serial
  certificate.validity = { notBefore: new Date(text.notBefore), notAfter: new Date(text.notAfter) }
  certificate.publicKey = placeholderKey(forge)
  certificate.siginfo.algorithmOid = forge.pki.oids['sha256WithRSAEncryption'] as string
  const subject = subjectFields(forge, text.commonName)
  certificate.setSubject(subject)
  certificate.setIssuer(subject)
  certificate.setExtensions(text.extensions.map((extension) => ({ ...extension })))

  const signed = encoderOf(forge).getTBSCertificate(certificate)
  const parts = signed.value as Asn1[]
  parts[2] = algorithmOf(forge, signer)
  if (text.issuer !== undefined) parts[3] = fromDer(forge, text.issuer)
  parts[6] = fromDer(forge, text.publicKeyInfo)
  return withSignature(forge, signed, signer)
}

/** Encodes and signs a request (PKCS#10) for a certificate with these names. */
export async function encodeRequest(commonName: string, extensions: readonly ForgeExtension[], key: KeyObject): Promise<Buffer> {
  const forge = await loadForge()
  const request = forge.pki.createCertificationRequest()
  request.publicKey = placeholderKey(forge)
  request.setSubject(subjectFields(forge, commonName))
  request.setAttributes([{ name: 'extensionRequest', extensions: extensions.map((extension) => ({ ...extension })) }])

  const signed = encoderOf(forge).getCertificationRequestInfo(request)
  const parts = signed.value as Asn1[]
  parts[2] = fromDer(forge, createPublicKey(key).export({ type: 'spki', format: 'der' }))
  return withSignature(forge, signed, key)
}

/** node-forge's own, which its types leave out. */
interface Encoder {
  getTBSCertificate(certificate: forge.pki.Certificate): Asn1
  getCertificationRequestInfo(request: unknown): Asn1
}

const encoderOf = (forge: Forge): Encoder => forge.pki as unknown as Encoder

/** Some 40 ms and 10 MB, so loaded when a certificate is issued and not before. */
async function loadForge(): Promise<Forge> {
  return (await import('node-forge')).default
}

/** Stands where the real key will be: the encoder insists on RSA. */
function placeholderKey(forge: Forge): forge.pki.rsa.PublicKey {
  const one = new forge.jsbn.BigInteger('1')
  return forge.pki.setRsaPublicKey(one, one)
}

function subjectFields(forge: Forge, commonName: string): forge.pki.CertificateField[] {
  if (commonName === '') return []
  return [{ name: 'commonName', value: commonName, valueTagClass: forge.asn1.Type.UTF8 as unknown as forge.asn1.Class }]
}

function withSignature(forge: Forge, signed: Asn1, key: KeyObject): Buffer {
  const { asn1 } = forge
  const signature = sign(algorithmFor(key).hash, toDer(forge, signed), key)
  const whole = asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, [
    signed,
    algorithmOf(forge, key),
    asn1.create(asn1.Class.UNIVERSAL, asn1.Type.BITSTRING, false, `\0${signature.toString('latin1')}`),
  ])
  return toDer(forge, whole)
}

function algorithmOf(forge: Forge, key: KeyObject): Asn1 {
  const { asn1 } = forge
  const { oid } = algorithmFor(key)
  const parts = [asn1.create(asn1.Class.UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(oid).getBytes())]
  // RSA alone has parameters: none, and they are written (RFC 4055, 5).
  if (key.asymmetricKeyType === 'rsa') parts.push(asn1.create(asn1.Class.UNIVERSAL, asn1.Type.NULL, false, ''))
  return asn1.create(asn1.Class.UNIVERSAL, asn1.Type.SEQUENCE, true, parts)
}

const BY_CURVE: Readonly<Record<string, { readonly oid: string; readonly hash: string }>> = {
  prime256v1: { oid: '1.2.840.10045.4.3.2', hash: 'sha256' },
  secp384r1: { oid: '1.2.840.10045.4.3.3', hash: 'sha384' },
  secp521r1: { oid: '1.2.840.10045.4.3.4', hash: 'sha512' },
}

function algorithmFor(key: KeyObject): { readonly oid: string; readonly hash: string | null } {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key
  if (kind === 'ed25519') return { oid: '1.3.101.112', hash: null }
  if (kind === 'rsa') return { oid: '1.2.840.113549.1.1.11', hash: 'sha256' }
  const known = kind === 'ec' ? BY_CURVE[details?.namedCurve ?? ''] : undefined
  if (known !== undefined) return known
  throw new MeshError(
    'INMESH_IDENTITY',
    `can't sign with a key of the kind ${details?.namedCurve ?? kind}: use P-256, P-384, P-521, Ed25519 or RSA`,
  )
}

const toDer = (forge: Forge, structure: Asn1): Buffer => Buffer.from(forge.asn1.toDer(structure).getBytes(), 'latin1')
const fromDer = (forge: Forge, der: Buffer): Asn1 => forge.asn1.fromDer(der.toString('latin1'))
