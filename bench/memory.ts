import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import type { BenchResult } from './result.ts'
import { startAnswering } from './support/answering-process.ts'
import { median, rounded } from './support/statistics.ts'

export const description =
  'resident memory and start-up time that the import adds to a process, then 100 services of 10 endpoints'

const RUNS = 11
const TARGETS = { memoryMb: 10, startMs: 60 }
const ROOT = join(import.meta.dirname, '..')
const BUILD = join(ROOT, '.bench', 'dist')
const exec = promisify(execFile)

interface Figures {
  readonly memoryMb: number
  /** From the start of the process. */
  readonly startMs: number
}

interface Stage {
  readonly name: string
  /** The stages whose figures are taken off, a row for each; none for the first. */
  readonly over: readonly string[]
  readonly code: string
  readonly targets?: Figures
}

const built = (file: string) => JSON.stringify(pathToFileURL(join(BUILD, file)).href)

/** The process gets the ports of ten endpoints, which all services share. A service comes to be on its first call. */
const MANY_SERVICES = `
  const { createMesh } = await import(${built('index.js')})
  const { staticEndpoints } = await import(${built('discovery/static.js')})
  const services = {}
  for (let s = 0; s < 100; s++) {
    services[\`service-\${s}\`] = { discovery: staticEndpoints(process.argv.slice(1).map((port) => \`127.0.0.1:\${port}\`)) }
  }
  const mesh = createMesh({ services })`

const STAGES: readonly Stage[] = [
  { name: 'empty process', over: [], code: '' },
  { name: "import 'undici'", over: ['empty process'], code: "await import('undici')" },
  {
    name: "import 'inmesh'",
    over: ["import 'undici'", 'empty process'],
    code: `await import(${built('index.js')})`,
    targets: TARGETS,
  },
  { name: '100 services of 10 endpoints', over: ["import 'inmesh'"], code: MANY_SERVICES },
  {
    name: '... and a call to each',
    over: ["import 'inmesh'"],
    code: `${MANY_SERVICES}
      for (const name in services) await (await mesh.fetch(\`http://\${name}/\`)).text()`,
  },
]

/** Several processes a stage, the stages in turn; what is reported is what a stage adds to another. */
export async function run(): Promise<BenchResult> {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  await exec(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--noCheck', '--outDir', BUILD], { cwd: ROOT })
  const samples = new Map(STAGES.map((stage): [string, Figures[]] => [stage.name, []]))
  const server = await startAnswering(10)
  for (let round = 0; round < RUNS; round++) {
    for (const stage of STAGES) samples.get(stage.name)?.push(await measure(stage.code, server.ports))
  }
  server.stop()
  return report(new Map([...samples].map(([name, list]) => [name, typical(list)])))
}

/** Collects before it looks: what is asked is what stays. */
async function measure(code: string, ports: readonly number[]): Promise<Figures> {
  const script = `${code}
    const startMs = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 20))
    gc(); gc()
    console.log(JSON.stringify({ memoryMb: process.memoryUsage.rss() / 2 ** 20, startMs }))
    process.exit()`
  const { stdout } = await exec(process.execPath, ['--expose-gc', '--input-type=module', '-e', script, ...ports.map(String)], {
    cwd: ROOT,
  })
  return JSON.parse(stdout) as Figures
}

/** A neighbour on the machine can only make a start longer. */
const typical = (list: readonly Figures[]): Figures => ({
  memoryMb: median(list.map((figures) => figures.memoryMb)),
  startMs: Math.min(...list.map((figures) => figures.startMs)),
})

function report(figures: ReadonlyMap<string, Figures>): BenchResult {
  const rows = STAGES.flatMap(({ name, over, targets }) => {
    const own = figures.get(name) as Figures
    const bases: readonly (string | undefined)[] = over.length > 0 ? over : [undefined]
    return bases.map((base) => ({ name, over: base, ...added(own, base === undefined ? undefined : figures.get(base)), targets }))
  })
  return {
    name: 'memory',
    columns: ['stage', 'MB', 'ms', 'added to', 'target'],
    rows: rows.map(({ name, over, memoryMb, startMs, targets }) => [
      name,
      memoryMb,
      startMs,
      over ?? '',
      targets ? `<= ${targets.memoryMb} MB, <= ${targets.startMs} ms` : '',
    ]),
    json: { node: process.version, runs: RUNS, stages: rows },
    notes: [
      `${RUNS} processes a stage: the median of the resident memory after a collection, the shortest time from the start of the process.`,
      'undici is the transport and most of it; a process that uses undici already pays only the difference.',
    ],
  }
}

const added = (own: Figures, base: Figures = { memoryMb: 0, startMs: 0 }): Figures => ({
  memoryMb: rounded(own.memoryMb - base.memoryMb, 1),
  startMs: rounded(own.startMs - base.startMs, 1),
})
