import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { byAddressName } from '../../core/address.ts'
import type { Address } from '../../core/endpoint.ts'
import { type Entry, parseEntryName, readEntry } from './entry.ts'
import { isAlive } from './process-life.ts'

/**
 * How many files of a service are looked at: far more processes than one machine runs of it, and few enough that a scan,
 * which blocks, stays below some 30 ms whatever fills the directory.
 */
const MAX_ENTRIES = 1_000
/** The largest entry read, in bytes: metadata is a few words. */
const MAX_BYTES = 65_536

/** What a scan of a service's directory found. */
export interface Scan {
  /** The living entries, in the order of their `host:port`. */
  readonly addresses: readonly Address[]
  /** What could not be read, one line a file; empty when all is well. */
  readonly problems: readonly string[]
}

interface Seen {
  readonly version: string
  readonly entry: Entry | undefined
  readonly problem: string | undefined
}

/**
 * Reads a service's entries, each file once a version, and drops those of dead processes, for good. Blocks: the directory is
 * on a local disk or in memory, and reading three files so costs less than one turn of the thread pool.
 */
export class ServiceEntries {
  readonly #directory: string
  #seen = new Map<string, Seen>()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Throws the file system's error when the directory can't be read; a missing one is empty. */
  scan(): Scan {
    const names = this.#names()
    const seen = new Map<string, Seen>()
    const addresses: Address[] = []
    const problems: string[] = []
    for (const name of names.slice(0, MAX_ENTRIES)) {
      const found = this.#look(name)
      if (found === undefined) continue
      seen.set(name, found)
      if (found.entry !== undefined) addresses.push(withPid(found.entry))
      if (found.problem !== undefined) problems.push(found.problem)
    }
    if (names.length > MAX_ENTRIES) problems.push(`${this.#directory}: ${names.length} entries, only ${MAX_ENTRIES} are read`)
    this.#seen = seen
    return { addresses: addresses.sort(byAddressName), problems }
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#directory).sort()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
  }

  #look(name: string): Seen | undefined {
    const parsed = parseEntryName(name)
    if (parsed === undefined) return undefined
    const path = join(this.#directory, name)
    const found = parsed.temporary ? undefined : this.#read(name, path)
    if (isAlive(found?.entry?.pid ?? parsed.pid, found?.entry?.start)) return found
    remove(path)
    return undefined
  }

  #read(name: string, path: string): Seen | undefined {
    const stats = statSync(path, { throwIfNoEntry: false })
    if (stats === undefined) return undefined
    const version = `${stats.ino} ${stats.size} ${stats.mtimeMs}`
    const before = this.#seen.get(name)
    if (before?.version === version) return before
    if (stats.size > MAX_BYTES) return { version, entry: undefined, problem: `${path}: larger than ${MAX_BYTES} bytes` }
    try {
      return { version, entry: readEntry(path), problem: undefined }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      return { version, entry: undefined, problem: `${path}: ${(error as Error).message}` }
    }
  }
}

function withPid({ address, pid }: Entry): Address {
  return { ...address, metadata: { ...address.metadata, pid: String(pid) } }
}

/** Several readers may do so at once, or not be allowed to: the entry is ignored in any case. */
function remove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {}
}
