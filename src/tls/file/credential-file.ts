import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { MeshError } from '../../core/errors.ts'

/** From here on a file is taken for a mistake, in bytes: certificates and keys have some thousand. */
const TOO_LARGE = 1_000_000
/** Who may enter: the owner may write; the group may read, as an fsGroup does; nobody else. */
const FORBIDDEN = 0o026

/**
 * The text of a file of certificates. Never waits for what is no file (a pipe), never reads more than a megabyte.
 *
 * @throws MeshError INMESH_IDENTITY that names the file and what to do
 */
export function readCredentialFile(path: string): Promise<string> {
  return readOpened(path, () => undefined)
}

/** As `readCredentialFile`, for a private key: refused when others may read it, or others than its owner may write it. */
export function readKeyFile(path: string): Promise<string> {
  return readOpened(path, (mode) => keyModeProblem(path, mode))
}

async function readOpened(path: string, modeProblem: (mode: number) => string | undefined): Promise<string> {
  let file: FileHandle | undefined
  try {
    // Without O_NONBLOCK the opening of a pipe would wait for its writer. Windows has neither.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    const stats = await file.stat()
    if (!stats.isFile()) throw unusable(path, 'is not a file')
    const problem = modeProblem(stats.mode)
    if (problem !== undefined) throw unusable(path, problem)
    return await readBounded(file, path)
  } catch (error) {
    throw error instanceof MeshError ? error : unusable(path, unreadable(error as NodeJS.ErrnoException), error)
  } finally {
    await file?.close()
  }
}

/** Reads what is there and not what the size says, for it may grow meanwhile. */
async function readBounded(file: FileHandle, path: string): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of file.createReadStream({ autoClose: false, end: TOO_LARGE - 1 })) {
    pieces.push(piece as Buffer)
    bytes += (piece as Buffer).length
  }
  if (bytes >= TOO_LARGE) throw unusable(path, 'has 1 MB or more, which no certificate or key has')
  // Latin-1 keeps what is no text from growing; PEM is ASCII.
  return Buffer.concat(pieces).toString('latin1')
}

/** Looks at the file itself: the modes of links say nothing. Windows has no modes. */
function keyModeProblem(path: string, mode: number): string | undefined {
  if (process.getuid === undefined || (mode & FORBIDDEN) === 0) return undefined
  const who = (mode & 0o006) === 0 ? 'its group may write it' : `others may ${(mode & 0o002) === 0 ? 'read' : 'write'} it`
  const shownMode = (mode & 0o777).toString(8).padStart(4, '0')
  return `${who} (mode ${shownMode}), run: chmod g-w,o= ${quoted(path)}; in a Kubernetes volume set defaultMode: 0400, or 0440 with an fsGroup`
}

function unreadable({ code }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT' || code === 'ENOTDIR') return `is missing (${code})`
  if (code === 'EISDIR') return 'is not a file'
  if (code !== 'EACCES' && code !== 'EPERM') return `can't be read (${code})`
  const user = process.geteuid === undefined ? 'this process' : `user ${process.geteuid()}`
  return `${user} may not read it (${code}), give it to that user or to a group of theirs; in a Kubernetes volume set defaultMode: 0440 and an fsGroup`
}

/** As a shell reads it. */
function quoted(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`
}

function unusable(path: string, problem: string, cause?: unknown): MeshError {
  return MeshError.refusal('INMESH_IDENTITY', `files: ${path}: ${problem}`, { cause })
}
