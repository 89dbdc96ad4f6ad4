import { lstatSync, mkdirSync, type Stats, statSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { MeshError } from './errors.ts'

/**
 * The directory in which the processes of one user on one machine meet: registry, admin sockets, local CA. Made with mode
 * 0700 when it is missing; another user can neither read nor write it.
 *
 * `$INMESH_RUNTIME_DIR`, else `$XDG_RUNTIME_DIR/inmesh` if that is a directory of ours (after `su` it is somebody else's),
 * else `inmesh-<uid>` in the directory for temporary files.
 *
 * @param directory another place, held to the same rules
 * @throws MeshError INMESH_DISCOVERY when it is not a directory, belongs to another user, or others may enter it
 */
export function runtimeDirectory(directory: string = usualPlace()): string {
  const path = resolve(directory)
  const problem = make(path) ?? directoryProblem(path)
  if (problem !== undefined) throw new MeshError('INMESH_DISCOVERY', `runtime directory ${path}: ${problem}`)
  return path
}

/** Where the runtime directory is, or would be made. */
export function usualPlace(): string {
  const { INMESH_RUNTIME_DIR, XDG_RUNTIME_DIR } = process.env
  if (INMESH_RUNTIME_DIR) return INMESH_RUNTIME_DIR
  if (XDG_RUNTIME_DIR && isAbsolute(XDG_RUNTIME_DIR) && isOurs(XDG_RUNTIME_DIR)) return join(XDG_RUNTIME_DIR, 'inmesh')
  return join(tmpdir(), `inmesh-${process.getuid?.() ?? userInfo().username}`)
}

function isOurs(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return false
  return stats.isDirectory() && (process.getuid === undefined || stats.uid === process.getuid())
}

function make(path: string): string | undefined {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    return undefined
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Something is there already: what it is, directoryProblem says.
    return code === 'EEXIST' ? undefined : `can't be made (${code}), set INMESH_RUNTIME_DIR to a directory of your own`
  }
}

function directoryProblem(path: string): string | undefined {
  const stats: Stats | undefined = lstatSync(path, { throwIfNoEntry: false })
  if (stats === undefined) return 'went away while it was made'
  if (stats.isSymbolicLink()) return 'is a symbolic link, remove it or set INMESH_RUNTIME_DIR to a directory of your own'
  if (!stats.isDirectory()) return 'is not a directory, remove it or set INMESH_RUNTIME_DIR to a directory of your own'
  // Windows knows neither owner nor mode; there the directory for temporary files is the user's own.
  if (process.getuid === undefined) return undefined
  if (stats.uid !== process.getuid()) {
    return `belongs to user ${stats.uid} and not to user ${process.getuid()}, set INMESH_RUNTIME_DIR to a directory of your own`
  }
  if ((stats.mode & 0o077) !== 0) {
    return `others may enter it (mode ${(stats.mode & 0o777).toString(8).padStart(4, '0')}), run: chmod 700 ${path}`
  }
  return undefined
}
