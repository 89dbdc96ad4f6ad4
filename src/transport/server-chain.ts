import type { DetailedPeerCertificate } from 'node:tls'

/** The most certificates that are taken over: one more than a verifier takes, so that it can say so. */
const MAX_CERTIFICATES = 9

/**
 * What a server has sent in its handshake, as DER, its leaf first, as far as each was signed by the next; it may end with a trust anchor of ours.
 *
 * Read from what `getPeerCertificate(true)` gives, which Node has made for each connection anyway: on the client's side `getPeerX509Certificate()`
 * takes the certificate away from the connection, and the next who asks finds none.
 *
 * @param leaf empty when it has sent none
 */
export function serverChain(leaf: Partial<DetailedPeerCertificate> | null): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate: Partial<DetailedPeerCertificate> | null | undefined = leaf
  while (certificate?.raw !== undefined && chain.length < MAX_CERTIFICATES) {
    chain.push(certificate.raw)
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate
    if (issuer === certificate) break
    certificate = issuer
  }
  return chain
}
