import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Holder } from './holding-process.ts'
import type { SecuredPorts } from './secured-server.ts'
import { median } from './statistics.ts'

/** What a connection holds, in KB, beyond what it is compared with; of several processes the least, the median and the most. */
export interface MemoryCost {
  readonly holder: Holder
  readonly over: Holder
  readonly kb: number
  readonly leastKb: number
  readonly mostKb: number
}

const CONNECTIONS = 1_000
const PROCESSES = 3
const PAIRS: readonly (readonly [Holder, Holder])[] = [
  ['node:tls', 'socket'],
  ['mesh, mTLS', 'mesh, plaintext'],
]
const HOLDERS = [...new Set(PAIRS.flat())]
const exec = promisify(execFile)

/** A process for each sample; one of each kind at a time. */
export async function memoryCosts(ports: SecuredPorts, directory: string, identity: string): Promise<MemoryCost[]> {
  const samples = new Map<Holder, number[]>()
  for (let i = 0; i < PROCESSES; i++) {
    const measured = HOLDERS.map(async (holder) => {
      const port = holder === 'socket' || holder === 'mesh, plaintext' ? ports.http : ports.httpTls
      samples.set(holder, [...(samples.get(holder) ?? []), await measure(holder, port, directory, identity)])
    })
    await Promise.all(measured)
  }
  return PAIRS.map(([holder, over]) => {
    const own = samples.get(holder) as number[]
    const base = median(samples.get(over) as number[])
    return { holder, over, kb: median(own) - base, leastKb: Math.min(...own) - base, mostKb: Math.max(...own) - base }
  })
}

async function measure(holder: Holder, port: number, directory: string, identity: string): Promise<number> {
  const script = join(import.meta.dirname, 'holding-process.ts')
  const args = ['--expose-gc', script, holder, String(CONNECTIONS), String(port), directory, identity]
  const { stdout } = await exec(process.execPath, args)
  return Number(stdout)
}
