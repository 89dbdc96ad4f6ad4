import { existsSync } from 'node:fs'
import { type Certificate, readCertificate } from '../tls/certificate.ts'
import { issuerProblem, validityProblem } from '../tls/certificate-rules.ts'
import { readCredentialFile } from '../tls/file/credential-file.ts'
import { readCertificates, toPem } from '../tls/pem.ts'
import { trustDomainOf } from './ca-directory.ts'
import { MODE, writeOwnFile } from './own-file.ts'

/** The trust anchors in a file. @throws Error that names it */
export async function readBundle(path: string): Promise<Certificate[]> {
  return readCertificates(await readCredentialFile(path), path).map((der, index) => {
    try {
      return readCertificate(der)
    } catch (cause) {
      throw new Error(`${path}: certificate ${index + 1} can't be read: ${(cause as Error).message}`, { cause })
    }
  })
}

/**
 * Adds trust anchors to a bundle, which is made if it is missing; what is in it stays as it is written.
 *
 * @returns those that were not in it
 * @throws Error for one that is no CA, is not valid, or is of another trust domain than the bundle
 */
export async function addToBundle(path: string, added: readonly Certificate[], now: number): Promise<readonly Certificate[]> {
  const isThere = existsSync(path)
  const present = isThere ? await readBundle(path) : []
  for (const certificate of added) checkAnchor(certificate, present, now)
  const fresh = added.filter(({ raw }, index) => ![...present, ...added.slice(0, index)].some((other) => other.raw.equals(raw)))
  if (fresh.length === 0) return fresh
  const text = isThere ? await readCredentialFile(path) : ''
  const separator = text === '' || text.endsWith('\n') ? '' : '\n'
  // Read as Latin-1, and so written.
  writeOwnFile(path, Buffer.from(text + separator + pemOf(fresh), 'latin1'), MODE.open, true)
  return fresh
}

/** Writes a bundle anew. */
export function writeBundle(path: string, anchors: readonly Certificate[]): void {
  writeOwnFile(path, pemOf(anchors), MODE.open, true)
}

function checkAnchor(certificate: Certificate, present: readonly Certificate[], now: number): void {
  const problem = issuerProblem(certificate, 'server') ?? validityProblem(certificate, now, 0)
  if (problem !== undefined) throw new Error(`no trust anchor: it ${problem.text}`)
  const domain = trustDomainOf(certificate)
  const other = present.map(trustDomainOf).find((one) => one !== undefined && domain !== undefined && one !== domain)
  if (other === undefined) return
  throw new Error(
    `it is of the trust domain ${domain}, and this bundle of ${other}: keep a bundle for each (trustFiles of the source files)`,
  )
}

const pemOf = (anchors: readonly Certificate[]): string => anchors.map(({ raw }) => toPem('CERTIFICATE', raw)).join('')
