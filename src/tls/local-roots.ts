import { type KeyObject, randomUUID } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '../core/errors.ts'
import { runtimeDirectory } from '../core/runtime-directory.ts'
import { type Certificate, readCertificate } from './certificate.ts'
import { issuerProblem } from './certificate-rules.ts'
import { issueRoot, makeKey } from './issue.ts'
import { readCertificates, readPrivateKey, toPem } from './pem.ts'

/** How long a root is valid, in milliseconds: a year. */
const ROOT_LIFE_MS = 365 * 86_400_000
/** A root whose life is over for so long is removed, in milliseconds. Calendars that were wrong for a day must not cost a root. */
const FORGET_MS = 30 * 86_400_000
/** The most roots that are read: two are usual, and a calendar that jumps makes one each time. */
const MAX_ROOTS = 16
/** The largest file that is read, in bytes: a root has a tenth of it. */
const MAX_FILE = 16_384

/** One root of the machine's own CA: a file with its certificate and its key, which is never changed. */
export interface LocalRoot {
  readonly number: number
  /** PEM. */
  readonly certificate: string
  readonly key: KeyObject
  readonly notBefore: number
  readonly notAfter: number
}

/**
 * The roots of one trust domain on one machine: files `ca/<trust domain>/<number>.pem`, mode 0600, in the runtime directory. Each is
 * written elsewhere and then linked to the next free number, which one of any number of processes can do: so all agree without a lock.
 * Files are read and written synchronously: they are one or two, of a kilobyte, and read once a minute.
 */
export class LocalRoots {
  readonly #directory: string | undefined
  readonly #trustDomain: string
  /** What was last read, to put it back when somebody tidies the directory away while processes trust it. */
  #texts: ReadonlyMap<number, string> = new Map()

  constructor(directory: string | undefined, trustDomain: string) {
    this.#directory = directory
    this.#trustDomain = trustDomain
  }

  /** Where they are. */
  get place(): string {
    return join(runtimeDirectory(this.#directory), 'ca', this.#trustDomain)
  }

  /**
   * All that are valid now, oldest first; the first one is made when there is none.
   *
   * @throws MeshError INMESH_IDENTITY that names the file, or the directory, and what to do
   */
  async read(now: number): Promise<readonly LocalRoot[]> {
    const place = this.#makePlace()
    let numbers = numbersIn(place)
    if (numbers.length === 0 && this.#texts.size > 0) numbers = this.#restore(place)
    let roots = this.#readAll(place, numbers, now)
    if (!roots.some((root) => isValid(root, now))) {
      await this.#add(place, (numbers.at(-1) ?? 0) + 1, now)
      roots = this.#readAll(place, numbersIn(place), now)
    }
    const valid = roots.filter((root) => isValid(root, now))
    if (valid.length === 0)
      throw unusable(place, 'a root that was just made is not there any more: let nothing tidy this directory')
    return valid
  }

  /** Makes the root that follows the newest of these, unless another process has. */
  async succeed(newest: LocalRoot, now: number): Promise<void> {
    await this.#add(this.#makePlace(), newest.number + 1, now)
  }

  #makePlace(): string {
    try {
      const root = runtimeDirectory(this.#directory)
      mkdirSync(join(root, 'ca'), { recursive: true, mode: 0o700 })
      runtimeDirectory(join(root, 'ca'))
      return runtimeDirectory(this.place)
    } catch (cause) {
      throw new MeshError('INMESH_IDENTITY', `local CA: ${(cause as Error).message}`, { cause })
    }
  }

  #readAll(place: string, numbers: readonly number[], now: number): LocalRoot[] {
    const roots: LocalRoot[] = []
    const texts = new Map<number, string>()
    for (const number of numbers.slice(-MAX_ROOTS)) {
      const path = fileOf(place, number)
      const text = readSecret(path)
      if (text === undefined) continue
      const root = rootOf(text, number, path)
      if (root.notAfter + FORGET_MS < now) rmSync(path, { force: true })
      roots.push(root)
      texts.set(number, text)
    }
    this.#texts = texts
    return roots
  }

  async #add(place: string, number: number, now: number): Promise<void> {
    const key = makeKey()
    const name = `inmesh local CA ${number} of ${this.#trustDomain}`
    const certificate = await issueRoot(key, { name, trustDomain: this.#trustDomain, now, lifeMs: ROOT_LIFE_MS })
    const keyDer = key.export({ type: 'pkcs8', format: 'der' })
    this.#write(place, number, certificate + toPem('PRIVATE KEY', keyDer))
  }

  #restore(place: string): number[] {
    for (const [number, text] of this.#texts) this.#write(place, number, text)
    return numbersIn(place)
  }

  /** Whole or not at all, and never over one that is there. */
  #write(place: string, number: number, text: string): void {
    const path = fileOf(place, number)
    // Not by the process's number: in a container it is the same each time, and one that was killed may have left its draft.
    const draft = `${path}.${randomUUID()}`
    try {
      writeFileSync(draft, text, { mode: 0o600, flag: 'wx' })
      linkSync(draft, path)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      if (code !== 'EEXIST') throw unusable(path, `can't be written (${code})`, cause)
    } finally {
      rmSync(draft, { force: true })
    }
  }
}

const fileOf = (place: string, number: number): string => join(place, `${number}.pem`)

const isValid = ({ notBefore, notAfter }: LocalRoot, now: number): boolean => notBefore <= now && now < notAfter

function numbersIn(place: string): number[] {
  const names = readdirSync(place)
  return names
    .filter((name) => /^[1-9]\d{0,8}\.pem$/.test(name))
    .map((name) => Number.parseInt(name, 10))
    .sort((a, b) => a - b)
}

/** Undefined when it has just gone. */
function readSecret(path: string): string | undefined {
  let file: number | undefined
  try {
    file = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
    const problem = secretProblem(fstatSync(file), path)
    if (problem !== undefined) throw unusable(path, problem)
    return readFileSync(file, 'latin1')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw unusable(path, 'is a symbolic link, remove it', cause)
    throw cause instanceof MeshError ? cause : unusable(path, `can't be read (${code})`, cause)
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

/** Asked of the opened file, so that nothing can be put in its place between. Windows knows neither owner nor mode. */
function secretProblem(stats: Stats, path: string): string | undefined {
  if (!stats.isFile()) return 'is no file, remove it'
  if (stats.size > MAX_FILE) return `${stats.size} bytes, at most ${MAX_FILE} are read: ${ANEW}`
  if (process.getuid === undefined) return undefined
  if (stats.uid !== process.getuid()) return `belongs to user ${stats.uid} and not to user ${process.getuid()}, remove it`
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
  return (stats.mode & 0o077) === 0 ? undefined : `others may read the CA's key (mode ${mode}), run: chmod 600 ${path}`
}

const ANEW = 'remove it, and a new CA is made (processes that trust the old one take the new one by themselves)'

function rootOf(text: string, number: number, path: string): LocalRoot {
  try {
    const ders = readCertificates(text, 'certificate')
    const certificate = readCertificate(ders[0] as Buffer)
    const key = readPrivateKey(text, 'key')
    const problem = rootProblem(certificate, key)
    if (problem !== undefined) throw new Error(problem)
    const { notBefore, notAfter } = certificate
    return { number, certificate: toPem('CERTIFICATE', certificate.raw), key, notBefore, notAfter }
  } catch (cause) {
    throw unusable(path, `is no CA that can be used: ${(cause as Error).message}: ${ANEW}`)
  }
}

function rootProblem(certificate: Certificate, key: KeyObject): string | undefined {
  if (!certificate.x509.checkPrivateKey(key)) return 'its key does not fit its certificate'
  return (issuerProblem(certificate, 'server') ?? issuerProblem(certificate, 'client'))?.text
}

function unusable(path: string, problem: string, cause?: unknown): MeshError {
  return MeshError.refusal('INMESH_IDENTITY', `local CA: ${path}: ${problem}`, { cause })
}
