import { constants, createHash, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { toPem } from '../../src/tls/pem.ts'
import { bitString, boolean, integer, name, octetString, oid, sequence, tagged, text, time } from './der-writer.ts'

/** The instant at which the tests' certificates are valid, in milliseconds since 1970: where virtual calendars stand. */
export const NOW = Date.UTC(2030, 0, 1)
export const HOUR = 3_600_000

/** A certificate that was made, with its key. */
export interface Made {
  readonly der: Buffer
  readonly pem: string
  readonly key: KeyObject
  /** PKCS#8. */
  readonly keyPem: string
  readonly subject: Buffer
  readonly serial: Buffer
}

/** An extension as it is written; `null` for one that is left out. */
export type WrittenExtension = Buffer | null

/** Everything that a certificate says. What is not given is right. */
export interface Recipe {
  readonly key: KeyObject
  /** Who signs; itself when it is not given. */
  readonly issuer: Made | undefined
  /** Whose key signs, if not the issuer's. */
  readonly signer: KeyObject
  /** The whole version field; `null` for version 1. */
  readonly version: Buffer | null
  readonly serial: Buffer
  /** AlgorithmIdentifier, inside and outside of what is signed. */
  readonly innerAlgorithm: Buffer
  readonly outerAlgorithm: Buffer
  readonly hash: string | null
  /** The padding of RSASSA-PSS instead of the usual one. */
  readonly pss: boolean
  readonly issuerName: Buffer
  readonly subject: Buffer
  readonly notBefore: Buffer
  readonly notAfter: Buffer
  readonly publicKeyInfo: Buffer
  /** By what they are called here, so that a case can change one. */
  readonly extensions: Readonly<Record<string, WrittenExtension>>
  /** Changes the finished bytes. */
  readonly spoil: (der: Buffer) => Buffer
}

export const OID = {
  ecdsaSha1: '1.2.840.10045.4.1',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha384: '1.2.840.10045.4.3.3',
  ecdsaSha512: '1.2.840.10045.4.3.4',
  rsaSha256: '1.2.840.113549.1.1.11',
  rsaSha1: '1.2.840.113549.1.1.5',
  rsaMd5: '1.2.840.113549.1.1.4',
  ed25519: '1.3.101.112',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  anyUsage: '2.5.29.37.0',
} as const

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }

let count = 0

/** Makes a certificate of a recipe. */
export function make(recipe: Partial<Recipe>): Made {
  const key = recipe.key ?? ecKey()
  const signer = recipe.signer ?? recipe.issuer?.key ?? key
  const { algorithm, hash } = algorithmFor(signer)
  const subject = recipe.subject ?? name(`inmesh test ${++count}`)
  const serial = recipe.serial ?? Buffer.from([1, ...Buffer.from(String(++count).padStart(6, '0'), 'hex')])
  const inner = recipe.innerAlgorithm ?? algorithm
  const extensions = Object.values(recipe.extensions ?? {}).filter((extension) => extension !== null)
  const version = recipe.version === undefined ? tagged(0, integer(Buffer.from([2]))) : recipe.version
  const signed = sequence(
    ...(version === null ? [] : [version]),
    integer(serial),
    inner,
    recipe.issuerName ?? recipe.issuer?.subject ?? subject,
    sequence(recipe.notBefore ?? time(NOW - HOUR), recipe.notAfter ?? time(NOW + 24 * HOUR)),
    subject,
    recipe.publicKeyInfo ?? publicKeyInfo(key),
    ...(extensions.length === 0 ? [] : [tagged(3, sequence(...extensions))]),
  )
  const signature = sign(recipe.hash === undefined ? hash : recipe.hash, signed, recipe.pss ? { key: signer, ...PSS } : signer)
  const whole = sequence(signed, recipe.outerAlgorithm ?? inner, bitString(signature))
  const written = recipe.spoil?.(whole) ?? whole
  const keyPem = key.export({ type: 'pkcs8', format: 'pem' }) as string
  return { der: written, pem: toPem('CERTIFICATE', written), key, keyPem, subject, serial }
}

/** A root that is right, but for what is changed. */
export function makeRoot(changes: Partial<Recipe> = {}): Made {
  const key = changes.key ?? ecKey()
  return make({ key, ...changes, extensions: { ...caExtensions(), ski: keyIdExtension(key), ...changes.extensions } })
}

/** An intermediate that is right, but for what is changed. */
export function makeIntermediate(issuer: Made, changes: Partial<Recipe> = {}): Made {
  const key = changes.key ?? ecKey()
  const extensions = { ...caExtensions(), ski: keyIdExtension(key), aki: issuerIdExtension(issuer), ...changes.extensions }
  return make({ key, issuer, ...changes, extensions })
}

/** A workload's certificate that is right, but for what is changed. */
export function makeLeaf(issuer: Made, id: string, changes: Partial<Recipe> = {}): Made {
  const key = changes.key ?? ecKey()
  const extensions = {
    basic: extension('2.5.29.19', sequence(), true),
    usage: keyUsage(0x80, 7),
    extended: extendedKeyUsage(OID.serverAuth, OID.clientAuth),
    names: names(uri(id)),
    ski: keyIdExtension(key),
    aki: issuerIdExtension(issuer),
    ...changes.extensions,
  }
  return make({ key, issuer, ...changes, extensions })
}

export function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octetString(value))
}

export const uri = (value: string): Buffer => text(0x86, value)
export const dns = (value: string): Buffer => text(0x82, value)
export const ip = (bytes: readonly number[]): Buffer => text(0x87, String.fromCharCode(...bytes))
export const email = (value: string): Buffer => text(0x81, value)
export const names = (...list: readonly Buffer[]): Buffer => extension('2.5.29.17', sequence(...list))
/** @param bits the first byte, `digitalSignature` at its top */
export const keyUsage = (bits: number, unused: number): Buffer =>
  extension('2.5.29.15', bitString(Buffer.from([bits]), unused), true)
export const extendedKeyUsage = (...usages: readonly string[]): Buffer => extension('2.5.29.37', sequence(...usages.map(oid)))
export const basicConstraints = (ca: boolean, pathLength?: number): Buffer =>
  extension(
    '2.5.29.19',
    sequence(...(ca ? [boolean(true)] : []), ...(pathLength === undefined ? [] : [integer(Buffer.from([pathLength]))])),
    true,
  )

/** @param permitted,excluded names of subtrees; none leaves the part out */
export function nameConstraints(permitted: readonly Buffer[], excluded: readonly Buffer[] = [], critical = true): Buffer {
  const part = (number: number, list: readonly Buffer[]) =>
    list.length === 0 ? [] : [tagged(number, ...list.map((one) => sequence(one)))]
  return extension('2.5.29.30', sequence(...part(0, permitted), ...part(1, excluded)), critical)
}

const keys = new Map<string, KeyObject>()

/** A key that all tests of a process share, made when first asked for: making RSA keys takes long. */
export function sharedKey(kind: string, makeIt: () => KeyObject): KeyObject {
  const key = keys.get(kind) ?? makeIt()
  keys.set(kind, key)
  return key
}

export const ecKey = (namedCurve = 'P-256'): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey
export const rsaKey = (modulusLength: number): KeyObject =>
  sharedKey(`rsa ${modulusLength}`, () => generateKeyPairSync('rsa', { modulusLength }).privateKey)
export const ed25519Key = (): KeyObject => generateKeyPairSync('ed25519').privateKey

export function publicKeyInfo(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: 'spki', format: 'der' })
}

/** AlgorithmIdentifier. */
export const algorithm = (id: string, ...parameters: readonly Buffer[]): Buffer => sequence(oid(id), ...parameters)

export const keyIdOf = (key: KeyObject): Buffer => createHash('sha256').update(publicKeyInfo(key)).digest().subarray(0, 20)
export const keyIdExtension = (key: KeyObject): Buffer => extension('2.5.29.14', octetString(keyIdOf(key)))
export const issuerIdExtension = (issuer: Made): Buffer => authorityKeyId(keyIdOf(issuer.key))
export const authorityKeyId = (id: Buffer, critical = false): Buffer =>
  extension('2.5.29.35', sequence(text(0x80, id.toString('latin1'))), critical)

const caExtensions = () => ({ basic: basicConstraints(true), usage: keyUsage(0x06, 1) })

export function algorithmFor(key: KeyObject): { algorithm: Buffer; hash: string | null } {
  if (key.asymmetricKeyType === 'ed25519') return { algorithm: algorithm(OID.ed25519), hash: null }
  if (key.asymmetricKeyType === 'rsa') return { algorithm: algorithm(OID.rsaSha256, Buffer.from([5, 0])), hash: 'sha256' }
  return { algorithm: algorithm(OID.ecdsaSha256), hash: 'sha256' }
}
