import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { FromSecuredServer, SecuredPorts } from './secured-server.ts'

/** The process of `secured-server.ts`. */
export interface SecuredProcess {
  readonly ports: SecuredPorts
  /** Microseconds of CPU that it has used. */
  readonly cpuUs: () => Promise<number>
  readonly stop: () => void
}

/** @param directory of its identity */
export async function startSecured(directory: string): Promise<SecuredProcess> {
  const child = fork(join(import.meta.dirname, 'secured-server.ts'), [directory])
  const next = async () => (await once(child, 'message'))[0] as FromSecuredServer
  const { ports } = (await next()) as { ports: SecuredPorts }
  const cpuUs = async () => {
    const answer = next()
    child.send('cpu')
    return ((await answer) as { cpuUs: number }).cpuUs
  }
  return { ports, cpuUs, stop: () => child.disconnect() }
}
