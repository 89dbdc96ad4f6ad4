import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseAuthority, readAddress } from '../../core/address.ts'
import type { Address } from '../../core/endpoint.ts'

/** The longest encoded service name: file names end at 255 bytes on the file systems in use. */
const MAX_NAME = 240

/** One server's line in the registry: a file `services/<encoded service>/<pid>-<port>.json`. */
export interface Entry {
  readonly service: string
  readonly pid: number
  /** `processStart` of the pid; left out where it can't be told. */
  readonly start?: string
  readonly address: Address
}

/** The directory that holds one directory a service. */
export function servicesDirectory(directory: string): string {
  return join(directory, 'services')
}

/**
 * The directory of a service's entries. The port of an authority does not count: each server registers its own. The name is
 * encoded, so that `../x` stays inside.
 *
 * @returns undefined when the name is empty or too long
 */
export function serviceDirectory(directory: string, service: string): string | undefined {
  const name = serviceName(service)
  const encoded = encodeURIComponent(name.toWellFormed()).replace(/^\.|\*/g, (c) => (c === '.' ? '%2E' : '%2A'))
  return encoded === '' || encoded.length > MAX_NAME ? undefined : join(servicesDirectory(directory), encoded)
}

/** Lower case and without the port, as hosts are compared. */
export function serviceName(service: string): string {
  return parseAuthority(service)?.host ?? service.toLowerCase()
}

/** `<pid>-<port>.json`, or undefined when the name is another; `.tmp` at its end while it is being written. */
export function parseEntryName(name: string): { pid: number; temporary: boolean } | undefined {
  const match = /^(\d{1,10})-\d{1,5}\.json(\.tmp)?$/.exec(name)
  return match === null ? undefined : { pid: Number(match[1]), temporary: match[2] !== undefined }
}

/** Writes the entry whole or not at all: nobody reads half of one. Throws the file system's error. */
export function writeEntry(path: string, entry: Entry): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.tmp`
  rmSync(temporary, { force: true })
  writeFileSync(temporary, `${JSON.stringify(flat(entry))}\n`, { mode: 0o600, flag: 'wx' })
  renameSync(temporary, path)
}

/** Reads what `writeEntry` wrote. Throws an error that says what is wrong; ENOENT when it went away. */
export function readEntry(path: string): Entry {
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'))
  if (typeof content !== 'object' || content === null || Array.isArray(content)) throw new Error('expected an object')
  const { service, pid, start, ...rest } = content as Record<string, unknown>
  if (typeof service !== 'string') throw new Error('service: expected a string')
  if (!Number.isInteger(pid) || (pid as number) < 1) throw new Error('pid: expected an integer >= 1')
  if (start !== undefined && typeof start !== 'string') throw new Error('start: expected a string')
  const problems: string[] = []
  const address = readAddress('address', rest, problems)
  if (address === undefined) throw new Error(problems.join('; '))
  return { service, pid: pid as number, ...(start === undefined ? {} : { start }), address }
}

function flat({ service, pid, start, address }: Entry): Record<string, unknown> {
  return { service, pid, start, ...address }
}
