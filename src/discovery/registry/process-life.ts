import { readFileSync } from 'node:fs'

/**
 * When a process was started, in the kernel's ticks since boot: tells it from a later one with the same pid. Linux only
 * (proc(5), /proc/pid/stat field 22); undefined elsewhere, and for a process that is gone.
 */
export function processStart(pid: number): string | undefined {
  return statFields(pid)?.[19]
}

/**
 * Whether a process runs, as far as this process may know.
 *
 * @param start its `processStart` when it was noted; undefined when that could not be told
 */
export function isAlive(pid: number, start: string | undefined): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it runs, as another user.
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
  }
  if (process.platform !== 'linux') return true
  const fields = statFields(pid)
  if (fields === undefined) return start === undefined
  // A zombie answers signals until its parent collects it, which in a container may be never.
  if (fields[0] === 'Z' || fields[0] === 'X') return false
  return start === undefined || fields[19] === start
}

/** The fields from the third on; the second is the command's name in parentheses and may hold anything. */
function statFields(pid: number): readonly string[] | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}
