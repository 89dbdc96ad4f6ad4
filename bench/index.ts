/**
 * `npm run bench -- NAME [--json]` runs one bench; without a name all that are quick; `--list` names them. `--seconds N` is for those that can go on for any time.
 * A bench is a module of this folder that exports `description`, `run` and, when it takes more than half a minute, `slow = true`.
 */
import { readdirSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { BenchOptions, BenchResult } from './result.ts'

interface Bench {
  readonly name: string
  readonly description: string
  readonly slow: boolean
  readonly run: (options: BenchOptions) => Promise<BenchResult>
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    seconds: { type: 'string' },
  },
})
const benches = await findBenches()

if (values.list) {
  process.stdout.write(
    table(
      ['bench', 'what it measures', ''],
      benches.map((bench) => [bench.name, bench.description, bench.slow ? 'slow' : '']),
    ),
  )
} else {
  await runAll(chosen())
}

async function findBenches(): Promise<Bench[]> {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.ts') && file !== 'index.ts')
  const modules = await Promise.all(
    files.sort().map(async (file) => ({ name: file.slice(0, -3), ...(await import(`./${file}`)) })),
  )
  return modules.filter((module) => 'run' in module).map((module): Bench => ({ slow: false, ...module }))
}

function chosen(): Bench[] {
  const unknown = positionals.filter((name) => !benches.some((bench) => bench.name === name))
  if (unknown.length > 0) {
    console.error(`no bench ${unknown.join(', ')}; there are: ${benches.map((bench) => bench.name).join(', ')}`)
    process.exit(1)
  }
  return positionals.length > 0
    ? benches.filter((bench) => positionals.includes(bench.name))
    : benches.filter((bench) => !bench.slow)
}

/** One document for machines, whatever the number of benches: that of the only one, or one by name. */
async function runAll(list: readonly Bench[]): Promise<void> {
  const documents: Record<string, unknown> = {}
  const options = values.seconds === undefined ? {} : { seconds: secondsOf(values.seconds) }
  for (const bench of list) {
    const result = await bench.run(options)
    documents[bench.name] = result.json
    if (!values.json) process.stdout.write(shown(bench, result))
  }
  const [only] = list
  if (values.json) console.log(JSON.stringify(only && list.length === 1 ? documents[only.name] : documents, null, 2))
}

function secondsOf(text: string): number {
  const seconds = Number(text)
  if (seconds > 0 && seconds < 100_000) return seconds
  console.error(`--seconds: expected a number above 0 and below 100000, got ${text}`)
  process.exit(1)
}

function shown({ name, description }: Bench, { columns, rows, notes = [] }: BenchResult): string {
  return `\n${name}: ${description}\n\n${table(columns, rows)}${notes.map((note) => `  ${note}\n`).join('')}`
}

/** Words to the left, numbers to the right. */
function table(columns: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = columns.map((column, at) => Math.max(column.length, ...rows.map((row) => String(row[at] ?? '').length)))
  const right = columns.map((_, at) => rows.some((row) => typeof row[at] === 'number'))
  const line = (cells: readonly (string | number)[]) =>
    `  ${widths.map((width, at) => (right[at] ? String(cells[at] ?? '').padStart(width) : String(cells[at] ?? '').padEnd(width))).join('  ')}`.trimEnd()
  return `${[columns, widths.map((width) => '-'.repeat(width)), ...rows].map(line).join('\n')}\n`
}
