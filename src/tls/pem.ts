import { createPrivateKey, type KeyObject } from 'node:crypto'
import { MeshError } from '../core/errors.ts'

/** The longest text that is searched for PEM: a bundle of some hundred certificates. A megabyte is somebody's mistake or attack. */
const MAX_TEXT = 1_000_000 - 1
/** The most certificates that are taken from one text. */
const MAX_CERTIFICATES = 500

const BEGIN = '-----BEGIN '
const END = '-----END '

interface PemBlock {
  readonly label: string
  readonly body: string
}

/**
 * The certificates of a PEM text, as DER, in their order. Line ends may be those of Windows; text around the blocks and blocks of other
 * kinds are passed over.
 *
 * @param what how the text is called in an error: `files: /etc/tls/tls.crt`
 * @throws MeshError INMESH_IDENTITY when there is none, more than 500, a block is cut off or not base64, or the text has 1 MB or more
 */
export function readCertificates(text: string, what: string): Buffer[] {
  return readBlocks(text, what, ['CERTIFICATE', 'X509 CERTIFICATE'], 'certificate')
}

/** As `readCertificates`, for revocation lists. */
export function readRevocationLists(text: string, what: string): Buffer[] {
  return readBlocks(text, what, ['X509 CRL', 'CRL'], 'revocation list')
}

/** As `readCertificates`, for requests (PKCS#10). */
export function readRequests(text: string, what: string): Buffer[] {
  return readBlocks(text, what, ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'], 'certificate request')
}

/**
 * The private key of a PEM text: PKCS#8, or the older forms for RSA and EC.
 *
 * @param what as in `readCertificates`; nothing of the key is in an error
 * @throws MeshError INMESH_IDENTITY when there is none or more than one, or it is encrypted or broken
 */
export function readPrivateKey(text: string, what: string): KeyObject {
  const keys = blocks(text, what).filter(({ label }) => label.endsWith('PRIVATE KEY'))
  const [block] = keys
  if (block === undefined) throw unreadable(what, 'no private key in it, expected a block -----BEGIN PRIVATE KEY-----')
  if (keys.length > 1) throw unreadable(what, `${keys.length} private keys in it, expected one`)
  if (block.label.startsWith('ENCRYPTED') || /ENCRYPTED/.test(block.body)) {
    throw unreadable(what, 'the private key is encrypted, run: openssl pkcs8 -topk8 -nocrypt -in <it> -out <new one>')
  }
  try {
    return createPrivateKey(`-----BEGIN ${block.label}-----\n${block.body.trim()}\n-----END ${block.label}-----\n`)
  } catch {
    // OpenSSL's message could quote what it read.
    throw unreadable(what, 'the private key is broken or of an unknown kind')
  }
}

/** A block of PEM: lines of 64 characters. */
export function toPem(label: string, der: Uint8Array): string {
  const base64 = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64')
  return `-----BEGIN ${label}-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END ${label}-----\n`
}

function readBlocks(text: string, what: string, labels: readonly string[], kind: string): Buffer[] {
  const found = blocks(text, what).filter(({ label }) => labels.includes(label))
  if (found.length === 0) throw unreadable(what, `no ${kind} in it, expected a block -----BEGIN ${labels[0]}-----`)
  if (found.length > MAX_CERTIFICATES)
    throw unreadable(what, `${found.length} ${kind}s in it, at most ${MAX_CERTIFICATES} are read`)
  return found.map(({ body }, index) => decoded(body, `${what}: ${kind} ${index + 1} of ${found.length}`))
}

function blocks(text: string, what: string): PemBlock[] {
  if (text.length > MAX_TEXT) throw unreadable(what, `${text.length} characters, less than 1 MB is read`)
  const found: PemBlock[] = []
  for (let at = text.indexOf(BEGIN); at >= 0; ) {
    const next = text.indexOf(BEGIN, at + BEGIN.length)
    found.push(readBlock(text.slice(at + BEGIN.length, next < 0 ? text.length : next), what))
    at = next
  }
  return found
}

/** @param text what follows the words that begin a block, up to those that begin the next */
function readBlock(text: string, what: string): PemBlock {
  const bodyAt = text.indexOf('-----')
  const label = text.slice(0, bodyAt)
  const end = text.indexOf(`${END}${label}-----`, bodyAt)
  if (bodyAt < 0 || !/^[A-Z0-9 ]{1,64}$/.test(label)) throw unreadable(what, 'a block of PEM without a label')
  if (end < 0) throw unreadable(what, `a block -----BEGIN ${label}----- does not end: it is cut off or broken`)
  return { label, body: text.slice(bodyAt + 5, end) }
}

function decoded(body: string, what: string): Buffer {
  const base64 = body.replace(/[ \t\r\n]/g, '')
  const bytes = Buffer.from(base64, 'base64')
  if (base64 === '' || bytes.toString('base64') !== base64) throw unreadable(what, 'not base64, it is cut off or broken')
  return bytes
}

function unreadable(what: string, problem: string): MeshError {
  return new MeshError('INMESH_IDENTITY', `${what}: ${problem}`)
}
