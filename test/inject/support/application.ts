import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import type { MeshStats } from '../../../src/index.ts'
import { cleanup } from '../../support/servers.ts'

const REGISTER = new URL('../../../src/register.ts', import.meta.url).href
const PROBE = new URL('./probe.ts', import.meta.url).href

/** An application that knows nothing of inmesh, in a process of its own, with the mesh injected. Killed with the test. */
export class Application {
  readonly process: ChildProcess
  #said = ''

  constructor(t: TestContext, file: string, env: Readonly<Record<string, string>> = {}, imports: readonly string[] = []) {
    const preloaded = [...imports, REGISTER, PROBE].flatMap((url) => ['--import', url])
    const path = file.startsWith('/') ? file : join(import.meta.dirname, '../apps', file)
    this.process = fork(path, { execArgv: preloaded, env: { ...process.env, ...env }, silent: true })
    this.process.stdout?.on('data', (text) => (this.#said += text))
    this.process.stderr?.on('data', (text) => (this.#said += text))
    const ended = once(this.process, 'close')
    cleanup(t, async () => {
      this.process.kill('SIGKILL')
      await ended
    })
  }

  /** All that it printed. */
  get said(): string {
    return this.#said
  }

  /** Resolves once it has printed this. */
  async says(text: RegExp): Promise<void> {
    const ended = once(this.process, 'close').then(() => Promise.reject(new Error(`the application ended: ${this.#said}`)))
    while (!text.test(this.#said)) await Promise.race([once(this.process.stderr as Readable, 'data'), ended])
  }

  /** What the application itself says next, such as its port. */
  async told<T>(): Promise<T> {
    const ended = once(this.process, 'close').then(() => Promise.reject(new Error(`the application ended: ${this.#said}`)))
    const [message] = await Promise.race([once(this.process, 'message'), ended])
    return message as T
  }

  async stats(): Promise<MeshStats> {
    const told = this.told<{ stats: MeshStats }>()
    this.process.send('stats')
    return (await told).stats
  }

  async prometheus(): Promise<string> {
    const told = this.told<{ prometheus: string }>()
    this.process.send('prometheus')
    return (await told).prometheus
  }

  /** How many requests it has answered, by route; waits until `total` are over, since they end a little after their answer. */
  async served(total: number): Promise<Record<string, number>> {
    for (;;) {
      const { inbound } = await this.stats()
      if (inbound.reduce((sum, { requests }) => sum + requests.total, 0) < total) continue
      const counts: Record<string, number> = {}
      for (const { routes } of inbound)
        for (const { name, requests } of routes) counts[name] = (counts[name] ?? 0) + requests.total
      return counts
    }
  }

  /** Its end: the exit status, or the signal that ended it. */
  async ended(): Promise<number | string> {
    const [status, signal] = (await once(this.process, 'close')) as [number | null, string | null]
    return status ?? signal ?? ''
  }
}
