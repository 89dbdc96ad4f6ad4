import { MeshError } from '../../core/errors.ts'
import type { Identity } from '../../core/identity.ts'
import { readCertificate } from '../certificate.ts'
import { DerError } from '../der.ts'
import { identityOf } from '../identity-of.ts'
import { readCertificates, readPrivateKey, toPem } from '../pem.ts'
import { parseSpiffeId } from '../spiffe-id.ts'
import { subjectId } from '../subject-id.ts'
import { readCredentialFile, readKeyFile } from './credential-file.ts'

/** The files of an identity, by absolute paths. */
export interface CredentialPaths {
  readonly cert: string
  readonly key: string
  readonly ca: readonly string[]
  readonly trust: readonly (readonly [trustDomain: string, path: string])[]
}

/** What was in the files at one time. */
export interface CredentialTexts {
  readonly cert: string
  readonly key: string
  readonly ca: readonly string[]
  /** Of other trust domains; each one's problem where there is one, for it takes nothing from the rest. */
  readonly trust: readonly (string | MeshError)[]
}

/** What the files come to. */
export interface FileIdentity {
  readonly identity: Identity
  /** Why the anchors of other trust domains were left out. */
  readonly leftOut: readonly MeshError[]
}

/** @throws MeshError INMESH_IDENTITY for the first file that can't be read */
export async function readCredentials(paths: CredentialPaths): Promise<CredentialTexts> {
  const key = await readKeyFile(paths.key)
  // Read once, so that a pair in one file is always a pair.
  const cert = paths.cert === paths.key ? key : await readCredentialFile(paths.cert)
  const ca: string[] = []
  for (const path of paths.ca) ca.push(await readCredentialFile(path))
  const trust: (string | MeshError)[] = []
  for (const [, path] of paths.trust) trust.push(await readCredentialFile(path).catch((error: MeshError) => error))
  return { cert, key, ca, trust }
}

/** @throws MeshError INMESH_IDENTITY that names the file, if one alone is at fault */
export function fileIdentity(texts: CredentialTexts, paths: CredentialPaths, now: number): FileIdentity {
  const own = ownTrustDomain(texts.cert, `files: ${paths.cert}`)
  readPrivateKey(texts.key, `files: ${paths.key}`)
  const trust = new Map([[own, paths.ca.flatMap((path, i) => anchorsIn(texts.ca[i] as string, path))]])
  const leftOut: MeshError[] = []
  for (const [i, [domain, path]] of paths.trust.entries()) {
    const anchors = anchorsOrProblem(texts.trust[i] as string | MeshError, path)
    if (anchors instanceof MeshError) leftOut.push(anchors)
    else trust.set(domain, [...(trust.get(domain) ?? []), ...anchors])
  }
  const identity = identityOf({
    from: paths.cert === paths.key ? `files: ${paths.cert}` : `files: ${paths.cert} and ${paths.key}`,
    certificates: texts.cert,
    key: texts.key,
    trust: Object.fromEntries(trust),
    now,
  })
  return { identity, leftOut }
}

function ownTrustDomain(certificates: string, what: string): string {
  const [der] = readCertificates(certificates, what) as [Buffer]
  try {
    const name = subjectId(readCertificate(der), { linkerdNames: true })
    if ('id' in name) return parseSpiffeId(name.id).trustDomain
    throw new DerError(name.problem)
  } catch (error) {
    throw new MeshError('INMESH_IDENTITY', `${what}: the leaf certificate: ${(error as Error).message}`)
  }
}

/** Each as PEM of its own, without what stood around it. */
function anchorsIn(text: string, path: string): string[] {
  return readCertificates(text, `files: ${path}`).map((der, i) => {
    try {
      readCertificate(der)
      return toPem('CERTIFICATE', der)
    } catch (cause) {
      const message = `files: ${path}: certificate ${i + 1}: can't be read: ${(cause as Error).message}`
      throw new MeshError('INMESH_IDENTITY', message, { cause })
    }
  })
}

function anchorsOrProblem(text: string | MeshError, path: string): string[] | MeshError {
  if (text instanceof MeshError) return text
  try {
    return anchorsIn(text, path)
  } catch (error) {
    return error as MeshError
  }
}
