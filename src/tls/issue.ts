import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { MeshError } from '../core/errors.ts'
import { readCertificate } from './certificate.ts'
import { constructedTag, DerReader, implicitTag, onlyElement, TAG, wholeBytes } from './der.ts'
import { EXTENSION } from './extensions.ts'
import { encodeCertificate, encodeRequest, type ForgeExtension } from './forge-encoding.ts'
import { readCertificates, toPem } from './pem.ts'
import { keyWeakness, readPublicKey } from './public-key.ts'
import { parseSpiffeId } from './spiffe-id.ts'

/** How much earlier than now a certificate begins, in milliseconds: whoever sees it at once may have a clock that is behind. */
const BACKDATE_MS = 60_000
/** How long a leaf is valid, in milliseconds. */
const LEAF_LIFE_MS = 24 * 3_600_000
/** Identifiers of keys are the first 160 bits of a SHA-256 (RFC 7093, 2, method 1). */
const KEY_ID_BYTES = 20

/** A CA that can sign. */
export interface Issuer {
  /** PEM, the CA's own certificate first. */
  readonly certificate: string
  readonly key: KeyObject
}

/** When a certificate is valid: from a minute before `now` until `lifeMs` after it, both in milliseconds. */
export interface Validity {
  /** `clock.wall()`. */
  readonly now: number
  /** Default: 24 h for a leaf. */
  readonly lifeMs?: number
}

export interface LeafRequest extends Validity {
  /** A SPIFFE ID with a path. */
  readonly id: string
  readonly publicKey: KeyObject
  /** Further names, for callers outside of the mesh. */
  readonly dnsNames?: readonly string[]
}

/** A P-256 key; about 0.1 ms. */
export function makeKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

/**
 * Issues a workload's certificate: its SPIFFE ID as the only URI name, for clients and servers, signing of handshakes alone. It never
 * outlives its issuer.
 *
 * @returns PEM, of the leaf alone
 * @throws MeshError INMESH_IDENTITY for a bad ID, a weak key, or an issuer that has expired
 */
export async function issueLeaf(issuer: Issuer, request: LeafRequest): Promise<string> {
  if (parseSpiffeId(request.id).path === '') throw new MeshError('INMESH_IDENTITY', `${request.id}: a workload's ID has a path`)
  const names = [{ type: 6, value: request.id }, ...(request.dnsNames ?? []).map((value) => ({ type: 2, value }))]
  return issue(issuer, { ...request, lifeMs: request.lifeMs ?? LEAF_LIFE_MS, commonName: '' }, [
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true },
    { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
    // Without a subject, the names are all there is (RFC 5280, 4.1.2.6).
    { name: 'subjectAltName', critical: true, altNames: names },
  ])
}

export interface CaRequest extends Validity {
  /** The common name, for people. */
  readonly name: string
  /** The trust domain that it may sign for; its name constraints keep it there. */
  readonly trustDomain: string
  readonly lifeMs: number
}

/**
 * Makes a root: it signs itself, and name constraints keep it within its trust domain.
 *
 * @returns PEM
 */
export async function issueRoot(key: KeyObject, request: CaRequest): Promise<string> {
  return issue(
    { certificate: '', key },
    { ...request, commonName: request.name, publicKey: createPublicKey(key) },
    caExtensions(request),
  )
}

/**
 * Issues an intermediate that may sign leaves and no further CA.
 *
 * @returns PEM, of the intermediate alone
 */
export async function issueIntermediate(issuer: Issuer, request: CaRequest & { readonly publicKey: KeyObject }): Promise<string> {
  return issue(issuer, { ...request, commonName: request.name }, caExtensions(request, 0))
}

/** A request (PKCS#10) for a certificate with a SPIFFE ID, in PEM. */
export async function requestCertificate(key: KeyObject, id: string): Promise<string> {
  parseSpiffeId(id)
  const names = { name: 'subjectAltName', critical: true, altNames: [{ type: 6, value: id }] }
  return toPem('CERTIFICATE REQUEST', await encodeRequest('', [names], key))
}

interface Text extends Required<Validity> {
  readonly commonName: string
  readonly publicKey: KeyObject
}

/** @param issuer with an empty certificate for a root */
async function issue(issuer: Issuer, text: Text, extensions: readonly ForgeExtension[]): Promise<string> {
  const publicKeyInfo = text.publicKey.export({ type: 'spki', format: 'der' })
  const weakness = keyWeakness(readPublicKey(onlyElement(publicKeyInfo)))
  if (weakness !== undefined) throw new MeshError('INMESH_IDENTITY', `no certificate for ${weakness}`)
  const parent =
    issuer.certificate === '' ? undefined : readCertificate(readCertificates(issuer.certificate, 'issuer')[0] as Buffer)
  const subjectKeyId = keyIdOf(publicKeyInfo)
  const notAfter = Math.min(text.now + text.lifeMs, parent?.notAfter ?? Number.POSITIVE_INFINITY)
  if (notAfter <= text.now)
    throw new MeshError('INMESH_IDENTITY', `the issuer expired at ${new Date(notAfter).toISOString()}: renew it`)
  const der = await encodeCertificate(
    {
      serial: newSerial(),
      issuer: parent?.subject,
      commonName: text.commonName,
      notBefore: Math.max(text.now - BACKDATE_MS, parent?.notBefore ?? 0),
      notAfter,
      publicKeyInfo,
      extensions: [...extensions, ...keyIds(subjectKeyId, parent === undefined ? subjectKeyId : parent.extensions.subjectKeyId)],
    },
    issuer.key,
  )
  return toPem('CERTIFICATE', der)
}

function caExtensions({ trustDomain }: CaRequest, pathLength?: number): ForgeExtension[] {
  const within = octets(constructedTag(0), octets(TAG.sequence, octets(implicitTag(6), trustDomain)))
  return [
    {
      name: 'basicConstraints',
      critical: true,
      cA: true,
      ...(pathLength === undefined ? {} : { pathLenConstraint: pathLength }),
    },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { id: EXTENSION.nameConstraints, critical: true, value: octets(TAG.sequence, within) },
  ]
}

function keyIds(subject: Buffer, authority: Buffer | undefined): ForgeExtension[] {
  const own = { id: EXTENSION.subjectKeyId, value: octets(TAG.octetString, subject.toString('latin1')) }
  if (authority === undefined) return [own]
  const others = octets(TAG.sequence, octets(implicitTag(0), authority.toString('latin1')))
  return [own, { id: EXTENSION.authorityKeyId, value: others }]
}

function keyIdOf(publicKeyInfo: Buffer): Buffer {
  const reader = new DerReader(onlyElement(publicKeyInfo).content)
  reader.next(TAG.sequence)
  return createHash('sha256')
    .update(wholeBytes(reader.next(TAG.bitString)))
    .digest()
    .subarray(0, KEY_ID_BYTES)
}

/** 16 random bytes, made positive and never shorter. */
function newSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40
  return bytes.toString('hex')
}

/** One element of DER as the string of bytes that node-forge takes; less than 64 KiB of content. */
function octets(tag: number, content: string): string {
  const { length } = content
  const head = length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return String.fromCharCode(...head) + content
}
