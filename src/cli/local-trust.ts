import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Runtime } from '../core/clock.ts'
import { usualPlace } from '../core/runtime-directory.ts'
import { type Certificate, readCertificate } from '../tls/certificate.ts'
import { readKeyFile } from '../tls/file/credential-file.ts'
import { LocalRoots } from '../tls/local-roots.ts'
import { readCertificates } from '../tls/pem.ts'

/** Where the machine's own CA has its roots, or would have them. Makes nothing. */
export const localTrustPlace = (trustDomain: string): string => join(usualPlace(), 'ca', trustDomain)

/** A root of the machine's own CA, with the file it is in. */
export interface LocalAnchor {
  readonly path: string
  readonly certificate: Certificate
}

/**
 * The roots of the machine's own CA, oldest first, as they are: none is made, and none is removed.
 *
 * @throws Error that names the file
 */
export async function localAnchors(trustDomain: string): Promise<readonly LocalAnchor[]> {
  const place = localTrustPlace(trustDomain)
  const anchors: LocalAnchor[] = []
  for (const number of numbersIn(place)) {
    const path = join(place, `${number}.pem`)
    const [der] = readCertificates(await readKeyFile(path), path)
    anchors.push({ path, certificate: readCertificate(der as Buffer) })
  }
  return anchors
}

/** Makes the root that follows the newest; the first one when there is none. */
export async function addLocalRoot(trustDomain: string, { clock }: Runtime): Promise<void> {
  const roots = new LocalRoots(undefined, trustDomain)
  const isFirst = numbersIn(localTrustPlace(trustDomain)).length === 0
  const newest = (await roots.read(clock.wall())).at(-1)
  if (!isFirst && newest !== undefined) await roots.succeed(newest, clock.wall())
}

/** Removes a root: processes that trust it notice, and those with a leaf of its take another. */
export function removeLocalRoot({ path }: LocalAnchor): void {
  rmSync(path)
}

function numbersIn(place: string): number[] {
  try {
    const names = readdirSync(place).filter((name) => /^[1-9]\d{0,8}\.pem$/.test(name))
    return names.map((name) => Number.parseInt(name, 10)).sort((a, b) => a - b)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    throw new Error(`${place} can't be read (${code}): give it to the user who runs this, or set INMESH_RUNTIME_DIR`, {
      cause: error,
    })
  }
}
