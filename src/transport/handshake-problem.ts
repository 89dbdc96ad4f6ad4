import { MeshError } from '../core/errors.ts'
import type { HandshakeResult } from '../core/tls-observer.ts'

/** Why a handshake came to nothing, in words that say what to do. */
export interface HandshakeProblem {
  readonly result: HandshakeResult
  readonly error: MeshError
}

/**
 * Puts OpenSSL's words for what happened on a connected socket into ours.
 *
 * @param name the endpoint
 * @param expected the identity it must prove
 */
export function handshakeProblem(name: string, expected: string, cause: Error): HandshakeProblem {
  const { code = '' } = cause as NodeJS.ErrnoException
  const [result, text] = explain(code, expected, cause.message)
  return { result, error: MeshError.refusal('INMESH_IDENTITY', `${name}: ${text}`, { cause }) }
}

function explain(code: string, expected: string, message: string): readonly [HandshakeResult, string] {
  if (NO_TLS.test(`${code} ${message}`)) {
    const remedy = 'have its server listen through the mesh, or take the identity out of its entry in discovery'
    return ['protocol', `does not speak TLS, and ${expected} is expected there, who is never spoken to in plaintext: ${remedy}`]
  }
  if (code === 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
    return ['protocol', `does not speak the service's protocol inside TLS: correct the service's \`protocol\` (h2c or http)`]
  if (TOO_LARGE.test(`${code} ${message}`))
    return [
      'malformed',
      'shows certificates of more than 100 KB: issue its leaf anew with its SPIFFE ID as only name, and send the chain alone',
    ]
  if (OLD_TLS.has(code)) return ['protocol', 'does not speak TLS 1.3: have its server listen through the mesh']
  if (code === '' || code === 'ECONNRESET' || code === 'EPIPE')
    return ['broken_off', `closed the connection during the TLS handshake (${message}): its own log says why`]
  return ['protocol', `TLS handshake failed: ${message}`]
}

/** What comes as a first record is none. Node tells some of it by code, and some by OpenSSL's words alone. */
const NO_TLS = /wrong[_ ]version[_ ]number|packet[_ ]length[_ ]too[_ ]long|http[_ ]request/i

/** OpenSSL takes no more from anybody. */
const TOO_LARGE = /excessive[_ ]message[_ ]size/i

const OLD_TLS: ReadonlySet<string> = new Set(['ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', 'ERR_SSL_UNSUPPORTED_PROTOCOL'])
