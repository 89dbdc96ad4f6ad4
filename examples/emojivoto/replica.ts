import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Report } from './reporter.ts'

/** How long a process may take to end when it is asked, in milliseconds. */
const PATIENCE_MS = 5_000

/** One process of the demo, and the last that it told of what it has seen. */
export class Replica {
  readonly name: string
  last: Report | undefined
  readonly #env: Readonly<Record<string, string>>
  readonly #onCrash: (replica: Replica, code: number | null) => void
  #child: ChildProcess
  #expected = false

  /** @param onCrash is told when the process ends without having been asked to */
  constructor(name: string, env: Readonly<Record<string, string>>, onCrash: (replica: Replica, code: number | null) => void) {
    this.name = name
    this.#env = env
    this.#onCrash = onCrash
    this.#child = this.#start()
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(new URL(`./${this.name}.ts`, import.meta.url)), {
      env: { ...process.env, ...this.#env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    child.on('message', (report) => (this.last = report as Report))
    child.once('exit', (code) => {
      if (!this.#expected) this.#onCrash(this, code)
    })
    return child
  }

  /** Resolves when the process has told that it is ready, or is gone. */
  async ready(): Promise<void> {
    await Promise.race([once(this.#child, 'message'), once(this.#child, 'exit')])
  }

  /** Asks for what the process has seen until now, and waits for it. */
  async report(): Promise<void> {
    if (!this.#child.connected) return
    this.#child.send('report')
    await this.ready()
  }

  /** SIGKILL: no goodbye, what was in flight is lost. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  restart(): void {
    this.#expected = false
    this.#child = this.#start()
  }

  /** SIGTERM, and SIGKILL for those who do not listen. */
  async stop(): Promise<void> {
    const last = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS)
    await this.#end('SIGTERM')
    clearTimeout(last)
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    this.#expected = true
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill(signal)
    await ended
  }
}
