import { readFileSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Runtime } from '../core/clock.ts'
import { DirectoryWatch } from '../core/directory-watch.ts'
import { MeshError } from '../core/errors.ts'
import { Polling } from '../core/polling.ts'
import { MAX_LIST, readRevocations } from './crl.ts'
import type { Revocations } from './revocations.ts'

/** How often the files are read, besides when the system says that they changed, in milliseconds. */
const POLL_MS = 5_000

/**
 * Keeps revocation lists as files have them, PEM or DER: read at once, then whenever they change. What can't be read later takes nothing away: the lists read last stay,
 * and whoever they no longer speak for, since they are not current, is refused.
 *
 * @param failed is told once of each thing that is wrong, until all is well again
 * @returns a function that stops
 * @throws MeshError INMESH_IDENTITY when a file can't be read at the start: it would be as if nobody were revoked
 */
export function watchRevocationFiles(
  runtime: Runtime,
  paths: readonly string[],
  revocations: Revocations,
  failed: (error: Error) => void,
): () => void {
  let told: string | undefined
  let last: readonly Buffer[] = []
  const read = () => {
    const contents = paths.map(contentOf)
    // whoever has connections looks at them anew after each replacement
    if (contents.every((content, i) => last[i]?.equals(content))) return
    revocations.replace({ lists: contents.flatMap((content, i) => readRevocations(content, `mtls.crlFiles: ${paths[i]}`)) })
    last = contents
  }
  read()
  const directories = paths.map(
    (path) =>
      new DirectoryWatch(dirname(path), (name) => {
        // `..data` is the link that Kubernetes turns to the new content
        if (name === null || name.startsWith('..') || name === basename(path)) polling.wake()
      }),
  )
  const polling = new Polling(runtime, {
    maxRetryMs: POLL_MS,
    async ask() {
      for (const directory of directories) directory.attach()
      read()
      told = undefined
      return POLL_MS
    },
    failed(error) {
      const { message } = error as Error
      if (message !== told) failed(error as Error)
      told = message
    },
  })
  polling.start()
  return () => {
    polling.stop()
    for (const directory of directories) directory.close()
  }
}

function contentOf(path: string): Buffer {
  try {
    const stats = statSync(path)
    if (!stats.isFile()) throw new Error('is not a file')
    if (stats.size > MAX_LIST) throw new Error(`has ${stats.size} bytes, at most ${MAX_LIST} are read`)
    return readFileSync(path)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    const why = code === undefined ? message : `can't be read (${code})`
    throw MeshError.refusal('INMESH_IDENTITY', `mtls.crlFiles: ${path}: ${why}`, { cause })
  }
}
