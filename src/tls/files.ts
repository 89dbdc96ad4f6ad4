import { basename, dirname, resolve } from 'node:path'
import type { Runtime } from '../core/clock.ts'
import { DirectoryWatch } from '../core/directory-watch.ts'
import { MeshError } from '../core/errors.ts'
import type { IdentitySourceFactory, IdentityUpdate } from '../core/identity.ts'
import { aString, type OptionCheck, readOptions } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { type CredentialPaths, type CredentialTexts, fileIdentity, readCredentials } from './file/file-identity.ts'
import { IdentitySubscription } from './identity-subscription.ts'
import { trustDomainProblem } from './spiffe-id.ts'

/** The safety net where the system does not say that a file changed, and the longest wait after a failure, in milliseconds. */
const POLL_MS = 5_000
/** How long files that don't fit together are taken for half-written, in milliseconds; then it is told. */
const HALF_WRITTEN_MS = 1_000

export interface FilesOptions {
  /** Where the files are that are not given by an absolute path. Default: the working directory. */
  readonly directory?: string
  /** The leaf certificate, then its intermediates, in PEM. Default `tls.crt`. */
  readonly certFile?: string
  /** The leaf's private key in PEM, not encrypted: P-256, Ed25519 or RSA from 2048 bits. May be the same file. Default `tls.key`. */
  readonly keyFile?: string
  /** The trust anchors of the own trust domain in PEM; several while one takes over from another. Default `ca.crt`. */
  readonly caFile?: string | readonly string[]
  /** The trust anchors of other trust domains that are believed, by trust domain: `{ 'other.example': 'other.crt' }`. Default none. */
  readonly trustFiles?: Readonly<Record<string, string>>
}

/**
 * The identity in files that something else writes and renews: cert-manager, a Vault agent, a Kubernetes secret. Their directories are
 * watched, so that files which are replaced and Kubernetes' volumes work, and read every 5 s besides. Files that are missing, half-written or
 * don't fit together change nothing: the last identity stands, and after a second it is told what is wrong. Line ends of Windows and text
 * around the PEM are passed over. A private key that others may read is refused with the command to run.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function files(options?: FilesOptions): IdentitySourceFactory {
  const read = readOptions<Required<FilesOptions>>(
    'files',
    options,
    { directory: '.', certFile: 'tls.crt', keyFile: 'tls.key', caFile: 'ca.crt', trustFiles: {} },
    { directory: aString, certFile: aString, keyFile: aString, caFile: oneOrMorePaths, trustFiles: pathsByTrustDomain },
  )
  const at = (path: string) => resolve(read.directory, path)
  const paths: CredentialPaths = {
    cert: at(read.certFile),
    key: at(read.keyFile),
    ca: [read.caFile].flat().map(at),
    trust: Object.entries(read.trustFiles).map(([domain, path]) => [domain, at(path)] as const),
  }
  return (runtime) => ({ watch: (onUpdate) => watchFiles(runtime, paths, onUpdate) })
}

const oneOrMorePaths: OptionCheck = (value) =>
  [value].flat().every((path) => aString(path) === undefined) && [value].flat().length > 0
    ? undefined
    : 'a path or an array of paths'

const pathsByTrustDomain: OptionCheck = (value) => {
  const expected = "paths by trust domain, such as { 'other.example': 'other.crt' }"
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return expected
  for (const [domain, path] of Object.entries(value)) {
    const problem = trustDomainProblem(domain)
    if (problem !== undefined || aString(path) !== undefined)
      return `${expected}; ${JSON.stringify(domain)}: ${problem ?? 'no path'}`
  }
  return undefined
}

function watchFiles(runtime: Runtime, paths: CredentialPaths, onUpdate: (update: IdentityUpdate) => void): () => void {
  const { clock } = runtime
  const subscription = new IdentitySubscription(onUpdate)
  let read: string | undefined
  let brokenSince: number | undefined

  const isHalfWritten = () => {
    brokenSince ??= clock.now()
    return subscription.last !== undefined && clock.now() - brokenSince < HALF_WRITTEN_MS
  }
  const report = (texts: CredentialTexts) => {
    const { identity, leftOut } = fileIdentity(texts, paths, clock.wall())
    const [problem] = leftOut
    if (problem !== undefined && isHalfWritten()) throw problem
    subscription.identity(identity)
    if (problem === undefined) brokenSince = undefined
    else subscription.error(problem)
  }
  const directories = watchesOf(paths, () => polling.wake())
  const polling = new Polling(runtime, {
    maxRetryMs: POLL_MS,
    async ask(signal) {
      for (const directory of directories) directory.attach()
      const texts = await readCredentials(paths)
      if (signal.aborted) return POLL_MS
      const text = JSON.stringify(texts, (_, value) => (value instanceof MeshError ? value.message : value))
      // What ran out is looked at again, so that it is told.
      if (text === read && clock.wall() <= (subscription.last?.notAfter ?? 0)) return POLL_MS
      report(texts)
      read = text
      return POLL_MS
    },
    failed(error) {
      read = undefined
      if (!isHalfWritten()) subscription.error(error as Error)
    },
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
    for (const directory of directories) directory.close()
  }
}

/** One watch a directory; of what else happens in it nothing is heard. */
function watchesOf({ cert, key, ca, trust }: CredentialPaths, changed: () => void): DirectoryWatch[] {
  const byDirectory = Map.groupBy([cert, key, ...ca, ...trust.map(([, path]) => path)], (path) => dirname(path))
  return [...byDirectory].map(([directory, paths]) => {
    const names = paths.map((path) => basename(path))
    // `..data` is the link that Kubernetes turns to the new content.
    return new DirectoryWatch(directory, (name) => {
      if (name === null || name.startsWith('..') || names.includes(name)) changed()
    })
  })
}
