import { type FSWatcher, statSync, watch } from 'node:fs'

/**
 * Says when something in a directory changes, as soon as the system says so; polling stays the safety net where it
 * can't (network file systems, no watches left). Never holds the process.
 */
export class DirectoryWatch {
  readonly #directory: string
  readonly #changed: (name: string | null) => void
  #watcher: FSWatcher | undefined
  #inode = -1

  /** @param changed gets the name of what changed inside the directory, null when the system doesn't know */
  constructor(directory: string, changed: (name: string | null) => void) {
    this.#directory = directory
    this.#changed = changed
  }

  /** Watches the directory that is there now: call it before each reading, for a directory may be removed and made again. */
  attach(): void {
    const inode = inodeOf(this.#directory)
    if (inode === this.#inode) return
    this.close()
    if (inode === -1) return
    try {
      this.#watcher = watch(this.#directory, { persistent: false }, (_, name) => this.#changed(name))
      this.#watcher.on('error', () => this.close())
      this.#inode = inode
    } catch {
      // No watch to be had (ENOSPC, EMFILE, EACCES): the next attach tries again.
    }
  }

  /** Ends the watch; idempotent. */
  close(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#inode = -1
  }
}

/** -1 for a directory that is not there or may not be looked at: whoever reads in it will say so. */
function inodeOf(directory: string): number {
  try {
    return statSync(directory, { throwIfNoEntry: false })?.ino ?? -1
  } catch {
    return -1
  }
}
