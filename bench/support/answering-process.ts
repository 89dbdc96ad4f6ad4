import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** A process that answers small GETs, so that its work is not counted as the client's. */
export interface AnsweringProcess {
  readonly ports: readonly number[]
  readonly stop: () => void
}

/** @param file of this folder: what to run as the process */
export async function startAnswering(ports: number, file = 'answering-server.ts'): Promise<AnsweringProcess> {
  const child = fork(join(import.meta.dirname, file), [String(ports)])
  const [list] = (await once(child, 'message')) as [number[]]
  return { ports: list, stop: () => child.disconnect() }
}
