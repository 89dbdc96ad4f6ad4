import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'

/** The most certificates that are taken over: one more than a verifier takes, so that it can say so. */
const MAX_CERTIFICATES = 9

/** What the other end has sent in its handshake, as DER, its leaf first; empty when it has sent none. */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate()
  while (certificate !== undefined && chain.length < MAX_CERTIFICATES) {
    chain.push(certificate.raw)
    certificate = certificate.issuerCertificate
  }
  return chain
}
