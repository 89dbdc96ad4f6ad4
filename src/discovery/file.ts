import { readFile } from 'node:fs/promises'
import { basename, dirname, extname, resolve } from 'node:path'
import { parseAuthority, readAddress } from '../core/address.ts'
import type { Runtime } from '../core/clock.ts'
import { DirectoryWatch } from '../core/directory-watch.ts'
import type { DiscoveryFactory, Update } from '../core/discovery.ts'
import type { Address } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { aString, readOptions, shown } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { Subscription } from './source/subscription.ts'

/** The safety net where the system does not say that a file changed, in milliseconds. */
const POLL_MS = 5_000

export interface FileOptions {
  /** The file, relative to the working directory. JSON when it ends in `.json`, else YAML. */
  readonly path: string
}

/**
 * Addresses from a file that is watched:
 *
 * ```yaml
 * services:
 *   voting: ['10.0.0.7:8080', { host: 10.0.0.8, port: 8080, weight: 2, zone: eu-west-1a, metadata: { version: v2 } }]
 * ```
 *
 * A service that is not in the file has no endpoint. A file that is missing, empty, half-written or wrong anywhere is an
 * error that names the place, and the last good content stands. Its directory is watched, so files that are replaced and
 * Kubernetes' volumes work.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function file(options: FileOptions): DiscoveryFactory {
  const { path } = readOptions<{ path: string }>('file', options ?? {}, { path: '' }, { path: aString })
  if (path === '') throw new MeshError('INMESH_CONFIG', 'file.path: missing')
  return (runtime) => ({ watch: (service, onUpdate) => watchFile(runtime, resolve(path), service, onUpdate) })
}

function watchFile(runtime: Runtime, path: string, service: string, onUpdate: (update: Update) => void): () => void {
  const subscription = new Subscription(onUpdate)
  let read: string | undefined

  const directory = new DirectoryWatch(dirname(path), (name) => {
    // `..data` is the link that Kubernetes turns to the new content.
    if (name === null || name === basename(path) || name.startsWith('..')) polling.wake()
  })
  const polling = new Polling(runtime, {
    maxRetryMs: POLL_MS,
    async ask(signal) {
      directory.attach()
      const text = await readFile(path, { encoding: 'utf8', signal })
      if (text === read) return POLL_MS
      read = text
      const report = await readServices(path, text, service)
      if (signal.aborted) return POLL_MS
      if (Array.isArray(report)) subscription.addresses(report)
      else subscription.error(report as MeshError)
      return POLL_MS
    },
    failed(cause) {
      read = undefined
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
      subscription.error(problemIn(service, path, `can't be read (${code})`, cause))
    },
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
    directory.close()
  }
}

async function readServices(path: string, text: string, service: string): Promise<readonly Address[] | MeshError> {
  if (text.trim() === '') return problemIn(service, path, 'is empty')
  const content = extname(path) === '.json' ? parseJson(text) : await parseYaml(text)
  if ('problem' in content) return problemIn(service, path, content.problem)
  const problems: string[] = []
  const services = readContent(content.value, problems)
  if (problems.length > 0) return problemIn(service, path, problems.join('; '))
  return services.get(service) ?? services.get(parseAuthority(service)?.host ?? service) ?? []
}

type Content = { readonly value: unknown } | { readonly problem: string }

function parseJson(text: string): Content {
  try {
    return { value: JSON.parse(text) }
  } catch (error) {
    return { problem: (error as Error).message }
  }
}

/** Loaded on the first YAML file, for it costs memory that most processes never need. */
async function parseYaml(text: string): Promise<Content> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text, { prettyErrors: true })
  const [error] = document.errors
  if (error !== undefined) return { problem: (error.message.split('\n')[0] as string).replace(/:$/, '') }
  try {
    return { value: document.toJS() }
  } catch (aliases) {
    return { problem: (aliases as Error).message }
  }
}

/** The whole file is checked, not only one service's part: a mistake should be heard of where it was made. */
function readContent(content: unknown, problems: string[]): Map<string, readonly Address[]> {
  const found = new Map<string, readonly Address[]>()
  if (!isObject(content)) {
    problems.push(`expected an object with services, got ${shown(content)}`)
    return found
  }
  for (const key of Object.keys(content)) if (key !== 'services') problems.push(`${key}: unknown, expected services`)
  if (!isObject(content.services)) {
    problems.push(`services: expected an object, got ${shown(content.services)}`)
    return found
  }
  for (const [name, list] of Object.entries(content.services)) {
    if (Array.isArray(list)) found.set(name, readList(`services.${name}`, list, problems))
    else problems.push(`services.${name}: expected an array of addresses, got ${shown(list)}`)
  }
  return found
}

function readList(path: string, list: readonly unknown[], problems: string[]): readonly Address[] {
  return list.flatMap((value, i) => readAddress(`${path}[${i}]`, value, problems) ?? [])
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function problemIn(service: string, path: string, problem: string, cause?: unknown): MeshError {
  return MeshError.refusal('INMESH_DISCOVERY', `${service}: file: ${path}: ${problem}`, { service, cause })
}
