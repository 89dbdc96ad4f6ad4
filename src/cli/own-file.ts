import { randomUUID } from 'node:crypto'
import { linkSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'

/** Who may read a file: its owner alone, or everybody. */
export const MODE = { secret: 0o600, open: 0o644 } as const

/**
 * Writes a file whole or not at all, with its mode from the first byte on.
 *
 * @param replace whether one that is there is replaced
 * @throws Error that names the file
 */
export function writeOwnFile(path: string, text: string | Buffer, mode: number, replace: boolean): void {
  const draft = `${path}.${randomUUID()}`
  try {
    writeFileSync(draft, text, { mode, flag: 'wx' })
    if (replace) renameSync(draft, path)
    else linkSync(draft, path)
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    throw new Error(code === 'EEXIST' ? `${path} is there already` : `${path} can't be written (${code})`, { cause })
  } finally {
    rmSync(draft, { force: true })
  }
}

/**
 * Makes a directory that its owner alone may enter, or sees that it is one.
 *
 * @throws Error that says what to do
 */
export function makeOwnDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new Error(`${path} can't be made (${(cause as NodeJS.ErrnoException).code}): give another directory`, { cause })
  }
  const { mode } = statSync(path)
  // Windows knows no modes.
  if (process.getuid === undefined || (mode & 0o077) === 0) return
  const shownMode = (mode & 0o777).toString(8).padStart(4, '0')
  throw new Error(`others may enter ${path} (mode ${shownMode}): run chmod 700 on it, or give another directory`)
}
