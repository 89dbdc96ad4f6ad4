import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'

const BIN = join(import.meta.dirname, '../../src/cli/inmesh.ts')

/** What a command line came to. */
export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the program itself, in a process and a directory of its own. */
export function inmesh(cwd: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  const options = { cwd, timeout: 20_000, env: { ...process.env, SPIFFE_ENDPOINT_SOCKET: '', INMESH_SERVICE: '', ...env } }
  return new Promise((resolve) => {
    execFile(process.execPath, [BIN, ...args], options, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

/** Runs a command line in this process, at the time that a clock shows. */
export async function inmeshAt(clock: VirtualClock, args: readonly string[], colours = false): Promise<Outcome> {
  let out = ''
  let err = ''
  const code = await run(args, {
    runtime: { ...virtualRuntime(), clock },
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
    colours,
  })
  return { code, out, err }
}

/** A fresh directory, which goes with the tests. */
export function workDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-cli-'))
  after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}
