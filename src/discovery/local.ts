import { mkdirSync, rmSync, statSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { readAddress, sameAddresses } from '../core/address.ts'
import type { Runtime, Timer } from '../core/clock.ts'
import { DirectoryWatch } from '../core/directory-watch.ts'
import type { DiscoveryFactory, Update } from '../core/discovery.ts'
import type { Address } from '../core/endpoint.ts'
import { MeshError } from '../core/errors.ts'
import { aString, readOptions } from '../core/options.ts'
import { Polling } from '../core/polling.ts'
import { runtimeDirectory } from '../core/runtime-directory.ts'
import { type Entry, serviceDirectory, serviceName, servicesDirectory, writeEntry } from './registry/entry.ts'
import { processStart } from './registry/process-life.ts'
import { ServiceEntries } from './registry/service-entries.ts'
import { Subscription } from './source/subscription.ts'

/** How soon the death of a process that could not withdraw is noticed, in milliseconds. */
const LIVENESS_MS = 1_000
/** How often a service without entries is looked for where the system does not say that one came, in milliseconds. */
const IDLE_MS = 5_000
/** How often a server sees to it that its entry is still there, in milliseconds: cleaners of temporary files take old ones. */
const REFRESH_MS = 5_000

export interface LocalOptions {
  /** The runtime directory, see `runtimeDirectory`; only its user may enter it. */
  readonly directory?: string
}

/**
 * The registry of one machine: the servers that this user's processes have announced, found without configuration, in about a
 * millisecond. The entries of dead processes are dropped within a second. `voting:8080` is looked up as `voting`, for
 * each server registers its own port.
 *
 * An entry that can't be read is left out: the others are reported first, then an error that names the file, once.
 *
 * @throws MeshError INMESH_CONFIG for bad options
 */
export function local(options?: LocalOptions): DiscoveryFactory {
  const { directory } = readOptions<{ directory: string | undefined }>(
    'local',
    options,
    { directory: undefined },
    { directory: aString },
  )
  return (runtime) => ({ watch: (service, onUpdate) => watchRegistry(runtime, directory, service, onUpdate) })
}

/** What a server says of itself; the address as others on this machine reach it. */
export interface Announcement extends Address {
  /** The name by which clients call it. */
  readonly service: string
  /** As in LocalOptions. */
  readonly directory?: string
}

/** A server's place in the registry. */
export interface Registration {
  /** Takes it out, at once and synchronously, so that an exit handler may do it; idempotent. */
  withdraw(): void
}

/**
 * Registers a server of this process, until it is withdrawn or the process ends, however it ends. A host of `0.0.0.0`, as a server's
 * `address()` tells it, is registered as 127.0.0.1, and `::` as `::1`. Holds nothing.
 *
 * @throws MeshError INMESH_CONFIG for a bad announcement, INMESH_DISCOVERY when the registry can't be written
 */
export function announce(runtime: Runtime, announcement: Announcement): Registration {
  const { service, directory, ...rest } = announcement
  const address = readAnnounced(service, rest)
  const root = runtimeDirectory(directory)
  const folder = serviceDirectory(root, service)
  if (folder === undefined) throw new MeshError('INMESH_CONFIG', 'announce.service: expected a name of 1 to 240 letters')
  const path = join(folder, `${process.pid}-${address.port}.json`)
  const start = processStart(process.pid)
  const entry: Entry = { service: serviceName(service), pid: process.pid, ...(start === undefined ? {} : { start }), address }
  try {
    writeEntry(path, entry)
  } catch (cause) {
    throw new MeshError('INMESH_DISCOVERY', `${service}: local: ${path}: can't be written (${codeOf(cause)})`, { service, cause })
  }
  return keepFresh(runtime, root, path, entry)
}

function readAnnounced(service: string, rest: Address): Address {
  const problems: string[] = []
  if (typeof service !== 'string' || service === '') problems.push('announce.service: expected a string that is not empty')
  const address = readAddress('announce', rest, problems)
  if (address === undefined || problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return { ...address, host: reachable(address.host) }
}

/** Where a server on every address is reached. Nothing tells whether one on `::` takes IPv4 too (`ipv6Only`); ::1 it takes in any case. */
function reachable(host: string): string {
  if (host === '::') return hasLoopback6() ? '::1' : '127.0.0.1'
  return host === '0.0.0.0' ? '127.0.0.1' : host
}

/** Where IPv6 is switched off, as in many containers, `::` can be listened on all the same. */
function hasLoopback6(): boolean {
  try {
    return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'))
  } catch {
    return false
  }
}

function keepFresh(runtime: Runtime, root: string, path: string, entry: Entry): Registration {
  let timer: Timer | undefined
  const refresh = () => {
    restore(root, path, entry)
    timer = runtime.clock.after(REFRESH_MS, refresh)
  }
  timer = runtime.clock.after(REFRESH_MS, refresh)
  return {
    withdraw() {
      if (timer === undefined) return
      timer.cancel()
      timer = undefined
      remove(path)
    },
  }
}

/** Writes the entry again if it was removed. When it can't, the next refresh tries again: a server does not fail for it. */
function restore(root: string, path: string, entry: Entry): void {
  try {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) return
    runtimeDirectory(root)
    writeEntry(path, entry)
  } catch {}
}

/** An entry that can't be removed goes with the process: readers see that it is dead. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {}
}

function watchRegistry(
  runtime: Runtime,
  directory: string | undefined,
  service: string,
  onUpdate: (update: Update) => void,
): () => void {
  const subscription = new Subscription(onUpdate)
  let reader: RegistryReader | undefined

  const polling = new Polling(runtime, {
    maxRetryMs: IDLE_MS,
    async ask() {
      reader ??= new RegistryReader(runtimeDirectory(directory), service, subscription, () => polling.wake())
      return reader.read()
    },
    failed(cause) {
      const message = `${service}: local: ${(cause as Error).message}`
      subscription.error(MeshError.refusal('INMESH_DISCOVERY', message, { service, cause }))
    },
  })
  polling.start()
  return () => {
    subscription.stop()
    polling.stop()
    reader?.close()
  }
}

/** Reads one service's part of the registry whenever it is told to. */
class RegistryReader {
  readonly #root: string
  readonly #subscription: Subscription
  readonly #entries: ServiceEntries | undefined
  /** The one sees a service's first entry, the other all further ones. */
  readonly #watches: readonly DirectoryWatch[]
  #reported = ''

  constructor(root: string, service: string, subscription: Subscription, changed: () => void) {
    const folder = serviceDirectory(root, service)
    this.#root = root
    this.#subscription = subscription
    this.#entries = folder === undefined ? undefined : new ServiceEntries(folder)
    this.#watches = [servicesDirectory(root), ...(folder === undefined ? [] : [folder])].map(
      (d) => new DirectoryWatch(d, changed),
    )
  }

  /** Reports what has changed; answers how long to rest, in milliseconds. */
  read(): number {
    runtimeDirectory(this.#root)
    mkdirSync(servicesDirectory(this.#root), { recursive: true, mode: 0o700 })
    for (const watch of this.#watches) watch.attach()
    const { addresses, problems } = this.#entries?.scan() ?? { addresses: [], problems: [] }
    const problem = problems.join('; ')
    // An error stays the last word while it lasts: addresses follow it only when they have changed.
    const changed = this.#subscription.last === undefined || !sameAddresses(addresses, this.#subscription.last)
    if (changed || problem === '') this.#subscription.addresses(addresses)
    if (problem !== '' && problem !== this.#reported) {
      this.#subscription.error(MeshError.refusal('INMESH_DISCOVERY', `local: ${problem}`))
    }
    this.#reported = problem
    return addresses.length > 0 || problem !== '' ? LIVENESS_MS : IDLE_MS
  }

  close(): void {
    for (const watch of this.#watches) watch.close()
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error)
}
