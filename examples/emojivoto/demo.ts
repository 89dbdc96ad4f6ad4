// Starts emojivoto as separate processes that find and call each other through inmesh, with nothing configured, and shows what they see.
//
//   npm run demo                              a live table, until Ctrl-C
//   npm run demo -- --seconds 15 --json       one JSON document after 15 seconds
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { MeshStats } from 'inmesh'
import { Replica } from './replica.ts'
import { rowsOf } from './rows.ts'
import { tableOf } from './table.ts'
import { type Trace, textOf, traceAcross } from './trace.ts'

/** One of the voting replicas is this much slower, in milliseconds. */
const SLOW_MS = 150
/** Another one is killed this often, and is gone for a while, in milliseconds. */
const KILL_EVERY_MS = 5_000
const GONE_MS = 2_000
const NAMES = ['web', 'emoji', 'voting', 'vote-bot']
const SERVERS = ['web', 'emoji', 'voting']

const { seconds, json } = readArguments()
const directory = mkdtempSync(join(tmpdir(), 'emojivoto-'))
const env = { INMESH_RUNTIME_DIR: join(directory, 'run') }
const stop = new AbortController()
let trouble: string | undefined
const events: string[] = []

const emoji = new Replica('emoji', env, crashed)
const voting = [1, 2, 3].map((n) => new Replica('voting', n === 3 ? { ...env, VOTING_DELAY_MS: String(SLOW_MS) } : env, crashed))
const web = new Replica('web', env, crashed)
const servers = [emoji, ...voting, web]

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stop.abort())
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
// nobody votes before everybody is there: how fast a machine starts processes is not what the demo shows
await Promise.all(servers.map((server) => server.ready()))
const bot = new Replica('vote-bot', env, crashed)
const replicas = [...servers, bot]
if (seconds !== undefined) pause(seconds * 1_000, undefined, { signal: stop.signal }).then(() => stop.abort(), ignore)

await Promise.all([killNowAndThen(voting[1] as Replica), json ? undefined : showTable()])
await untilStopped()
await Promise.all(replicas.map((replica) => replica.report()))
const rows = rowsOf(NAMES, statsSeen(), 'whole')
const trace = traceSeen()
// the callers first, so that nobody calls a server that has gone
for (const replica of [bot, web, emoji, ...voting]) await replica.stop()
if (json) console.log(JSON.stringify({ seconds, ...rows, trace: trace ?? null }, null, 2))
else console.log(`\nIn all:\n\n${tableOf(rows)}\n${textOf(trace)}`)
if (trouble !== undefined) {
  console.error(trouble)
  process.exitCode = 1
}

async function killNowAndThen(replica: Replica): Promise<void> {
  try {
    for (;;) {
      await pause(KILL_EVERY_MS, undefined, { signal: stop.signal })
      const { pid } = replica
      await replica.kill()
      note(`voting (pid ${pid}) killed with SIGKILL`)
      await pause(GONE_MS, undefined, { signal: stop.signal })
      replica.restart()
      note(`voting started again as pid ${replica.pid}`)
    }
  } catch {
    // stopped
  }
}

async function showTable(): Promise<void> {
  const redraw = process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''
  try {
    for (;;) {
      await pause(redraw === '' ? 5_000 : 1_000, undefined, { signal: stop.signal })
      const table = tableOf(rowsOf(NAMES, statsSeen(), 'recent'))
      const foot = `pids ${replicas.map((r) => `${r.name}=${r.pid}`).join(' ')}\n${events.join('\n')}\n`
      const head = `${redraw}emojivoto, the last seconds (Ctrl-C ends)`
      process.stdout.write(`${head}\n\n${table}\n${textOf(traceSeen())}\n${foot}\n`)
    }
  } catch {
    // stopped
  }
}

function statsSeen(): MeshStats[] {
  return replicas.flatMap((replica) => replica.last?.stats ?? [])
}

function traceSeen(): Trace | undefined {
  return traceAcross(
    SERVERS,
    replicas.flatMap((replica) => replica.last?.sightings ?? []),
  )
}

async function untilStopped(): Promise<void> {
  if (!stop.signal.aborted) await new Promise((resolve) => stop.signal.addEventListener('abort', resolve, { once: true }))
}

function note(event: string): void {
  events.push(`${new Date().toLocaleTimeString('en-GB')}  ${event}`)
  if (events.length > 4) events.shift()
}

function crashed(replica: Replica, code: number | null): void {
  trouble = `${replica.name} (pid ${replica.pid}) ended by itself, exit status ${code}`
  stop.abort()
}

function ignore(): void {}

function readArguments(): { seconds: number | undefined; json: boolean } {
  try {
    const { values } = parseArgs({ options: { seconds: { type: 'string' }, json: { type: 'boolean', default: false } } })
    const seconds = values.seconds === undefined ? undefined : Number(values.seconds)
    if (seconds !== undefined && !(seconds > 0 && seconds <= 86_400))
      throw new Error(`--seconds: expected a number from 0 to 86400, got ${values.seconds}`)
    if (values.json && seconds === undefined) throw new Error('--json: expected --seconds with it, to know when to end')
    return { seconds, json: values.json }
  } catch (error) {
    console.error(`demo: ${(error as Error).message}\nusage: npm run demo -- [--seconds N] [--json]`)
    process.exit(2)
  }
}
