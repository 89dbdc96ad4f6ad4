import { MeshError } from '../core/errors.ts'
import type { TrustBundles } from '../core/identity.ts'
import { type Certificate, readCertificate } from './certificate.ts'
import { readCertificates } from './pem.ts'

/**
 * The trust anchors of each trust domain, read. Whether they are valid is asked at each verification: one that has expired does not keep the
 * others from being used.
 *
 * @throws MeshError INMESH_IDENTITY for a bundle that can't be read
 */
export function readTrustAnchors(bundles: TrustBundles): ReadonlyMap<string, readonly Certificate[]> {
  return new Map(
    Object.entries(bundles).map(([domain, texts]) => [
      domain,
      texts
        .flatMap((text) => readCertificates(text, `trust anchors of ${domain}`))
        .map((der, index) => readAnchor(der, domain, index)),
    ]),
  )
}

function readAnchor(der: Buffer, domain: string, index: number): Certificate {
  try {
    return readCertificate(der)
  } catch (cause) {
    const message = `trust anchors of ${domain}: certificate ${index + 1}: can't be read: ${(cause as Error).message}`
    throw new MeshError('INMESH_IDENTITY', message, { cause })
  }
}
