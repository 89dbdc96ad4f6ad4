import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { BenchResult } from './result.ts'
import type { Framework, FromServer, Server } from './support/framework-server.ts'
import { grpcLoad } from './support/grpc-load.ts'
import { type RawLoad, rawLoad } from './support/raw-load.ts'
import { median, quantile, rounded } from './support/statistics.ts'

export const description = 'CPU per request of a server process, for a small GET or unary call on loopback with keep-alive'
export const slow = true

/** The share of the bare server's cost that the meshed one may have. */
const FRAMEWORKS: Readonly<Record<Framework, number | undefined>> = {
  'node:http': undefined,
  express: 1.05,
  fastify: 1.05,
  'grpc-js': 1.05,
}
const SERVERS = ['again', 'empty', 'meshed'] as const
const CONNECTIONS = 16
/** Processes of each framework: how well one is compiled differs from process to process. */
const PROCESSES = 3
/** Comparisons in each. */
const COMPARISONS = 3
/** Requests in a turn, and turns of each of the two in a comparison; the cheaper half counts, since a neighbour can only make a turn dearer. */
const TURN = 2_000
const TURNS = 8
const WARM_UP = 20_000
/** A call of gRPC counts for so many requests, as it costs about as much. */
const CALL = 4

/** What a request cost the server and the bare one, in one comparison; microseconds of CPU. */
interface Sample {
  readonly own: number
  readonly bare: number
}

/**
 * The servers of a framework are in one process, which this one sends requests and asks what they cost. The meshed one and the bare one take turns in the
 * order ABBAABBA..., so that what drifts meets both alike, and each comparison gives one ratio.
 */
export async function run(): Promise<BenchResult> {
  const samples = new Map<string, Sample[]>()
  for (let i = 0; i < PROCESSES; i++) {
    for (const framework of Object.keys(FRAMEWORKS) as Framework[]) await inProcess(framework, samples)
  }
  return report(samples)
}

async function inProcess(framework: Framework, samples: Map<string, Sample[]>): Promise<void> {
  const child = fork(join(import.meta.dirname, 'support', 'framework-server.ts'), [framework])
  const { ports } = (await next(child)) as { ports: Record<Server, number> }
  const isGrpc = framework === 'grpc-js'
  const load = (port: number) => (isGrpc ? grpcLoad(port, CONNECTIONS) : rawLoad(port, CONNECTIONS, '}'))
  const loads = {
    bare: await load(ports.bare),
    again: await load(ports.again),
    empty: await load(ports.empty),
    meshed: await load(ports.meshed),
  }
  const turn = (server: Server, count: number) => measured(child, loads[server], isGrpc ? count / CALL : count)
  try {
    for (const server of ['bare', ...SERVERS] as const) await turn(server, WARM_UP)
    for (let i = 0; i < COMPARISONS; i++) {
      for (const server of SERVERS) {
        const name = `${framework} ${server}`
        samples.set(name, [...(samples.get(name) ?? []), await compare(turn, server)])
      }
    }
  } finally {
    for (const one of Object.values(loads)) one.close()
    child.disconnect()
  }
}

type Turn = (server: Server, count: number) => Promise<number>

async function compare(turn: Turn, server: Server): Promise<Sample> {
  const own: number[] = []
  const bare: number[] = []
  for (let turns = 0; turns < TURNS; turns += 2) {
    bare.push(await turn('bare', TURN))
    own.push(await turn(server, TURN), await turn(server, TURN))
    bare.push(await turn('bare', TURN))
  }
  return { own: undisturbed(own), bare: undisturbed(bare) }
}

function undisturbed(costs: readonly number[]): number {
  const cheaper = costs.toSorted((a, b) => a - b).slice(0, costs.length / 2)
  return cheaper.reduce((sum, cost) => sum + cost, 0) / cheaper.length
}

/** Microseconds of the server's CPU per request. */
async function measured(child: ChildProcess, load: RawLoad, count: number): Promise<number> {
  const before = await cpu(child)
  await load.send(count)
  return ((await cpu(child)) - before) / count
}

async function cpu(child: ChildProcess): Promise<number> {
  const answer = next(child)
  child.send('cpu')
  return ((await answer) as { cpuUs: number }).cpuUs
}

async function next(child: ChildProcess): Promise<FromServer> {
  return (await once(child, 'message'))[0] as FromServer
}

function report(samples: ReadonlyMap<string, readonly Sample[]>): BenchResult {
  const rows = [...samples].map(([name, list]) => {
    const ratios = list.map(({ own, bare }) => own / bare)
    const [framework, server] = name.split(' ') as [Framework, Server]
    return {
      framework,
      server,
      cpuUs: rounded(median(list.map(({ own }) => own)), 1),
      bareCpuUs: rounded(median(list.map(({ bare }) => bare)), 1),
      ratio: rounded(median(ratios), 3),
      ratioP25: rounded(quantile(ratios, 0.25), 3),
      ratioP75: rounded(quantile(ratios, 0.75), 3),
      comparisons: list.length,
      target: server === 'meshed' ? FRAMEWORKS[framework] : undefined,
    }
  })
  return {
    name: 'server',
    columns: ['server', '', 'us CPU/request', 'bare', 'ratio', 'middle half', 'rounds', 'target'],
    rows: rows.map((row) => [
      row.framework,
      row.server,
      row.cpuUs,
      row.bareCpuUs,
      row.ratio,
      `${row.ratioP25.toFixed(3)}-${row.ratioP75.toFixed(3)}`,
      row.comparisons,
      row.target === undefined ? '' : `<= ${row.target}`,
    ]),
    json: { node: process.version, connections: CONNECTIONS, rows },
    notes: [
      'ratio: median of the comparisons, with the range of their middle half.',
      '"again" is the bare server twice: what this machine can tell apart. "empty" is a middleware, a hook or an interceptor that does nothing:',
      'what the framework takes for one. What the mesh itself takes is the rest.',
      'The mesh has everything on that is on by default: request.mesh, context, deadline, metrics, load report, drain.',
    ],
  }
}
