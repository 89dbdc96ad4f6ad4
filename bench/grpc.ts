import type { BenchResult } from './result.ts'
import { startAnswering } from './support/answering-process.ts'
import { type GrpcClients, makeGrpcClients } from './support/grpc-clients.ts'
import { median, quantile, rounded } from './support/statistics.ts'

export const description = 'CPU of this process per gRPC call and per message on loopback, with the mesh and without'
export const slow = true

const PORTS = 3
/** How much CPU one turn takes, about, in milliseconds. */
const TURN_MS = 40
/** Turns of each of the two in a comparison. The cheaper half counts: a neighbour on the machine can only make a turn dearer. */
const TURNS = 8
/** What each contestant does before anything is measured. */
const WARM_UP = 3_000
/** Messages of one stream. */
const STREAM = 1_000

/** Two ways to do the same: `ours` is compared with `theirs`. */
interface Contest {
  readonly name: string
  /** The most that ours may cost, as a multiple of theirs; none for the comparison that shows the noise. */
  readonly target: number | undefined
  readonly concurrency: number
  /** What one call counts for. */
  readonly units: number
  readonly comparisons: number
  readonly ours: () => Promise<unknown>
  readonly theirs: () => Promise<unknown>
}

interface Row {
  readonly name: string
  readonly concurrency: number
  /** Microseconds of CPU. */
  readonly oursUs: number
  readonly theirsUs: number
  /** Of ours to theirs in the same comparison: median and quartiles. */
  readonly ratio: number
  readonly ratioP25: number
  readonly ratioP75: number
  readonly target: number | undefined
}

/** In a comparison the two take turns in the order ABBAABBA..., so that what drifts meets both alike. Each gives one ratio. */
export async function run(): Promise<BenchResult> {
  const server = await startAnswering(PORTS, 'grpc-answering-server.ts')
  const clients = makeGrpcClients(server.ports)
  try {
    const rows: Row[] = []
    for (const contest of contests(clients)) rows.push(await settle(contest))
    return report(rows)
  } finally {
    await clients.close()
    server.stop()
  }
}

function contests({ meshed, bare, empty }: GrpcClients): Contest[] {
  let turn = 0
  const next = () => bare[turn++ % PORTS] as (typeof bare)[number]
  const bareAsk = () => next().ask()
  const meshedAsk = () => meshed.ask()
  const unary = { units: 1, comparisons: 20, theirs: bareAsk }
  return [
    { name: 'unary', target: 1.08, concurrency: 16, ours: meshedAsk, ...unary },
    { name: 'unary', target: 1.08, concurrency: 1, ours: meshedAsk, ...unary },
    { name: 'unary, empty channel', target: undefined, concurrency: 16, ours: () => empty.ask(), ...unary },
    { name: 'unary, both bare', target: undefined, concurrency: 16, ours: bareAsk, ...unary },
    {
      name: 'message of a server stream',
      target: 1 / 0.95,
      concurrency: 4,
      units: STREAM,
      comparisons: 10,
      ours: () => meshed.spread(STREAM),
      theirs: () => next().spread(STREAM),
    },
  ]
}

async function settle(contest: Contest): Promise<Row> {
  const { name, concurrency, target, comparisons } = contest
  const warmUp = Math.ceil(WARM_UP / contest.units)
  await cost(contest, contest.ours, warmUp)
  const size = Math.max(
    concurrency,
    Math.round((TURN_MS * 1_000) / (await cost(contest, contest.theirs, warmUp)) / contest.units),
  )
  const ours: number[] = []
  const theirs: number[] = []
  const ratios: number[] = []
  for (let i = 0; i < comparisons; i++) {
    const sample = await compare(contest, size)
    ours.push(sample.ours)
    theirs.push(sample.theirs)
    ratios.push(sample.ours / sample.theirs)
  }
  const [ratioP25, ratio, ratioP75] = [0.25, 0.5, 0.75].map((q) => rounded(quantile(ratios, q), 3)) as [number, number, number]
  return {
    name,
    concurrency,
    oursUs: rounded(median(ours), 1),
    theirsUs: rounded(median(theirs), 1),
    ratio,
    ratioP25,
    ratioP75,
    target,
  }
}

async function compare(contest: Contest, size: number): Promise<{ ours: number; theirs: number }> {
  const ours: number[] = []
  const theirs: number[] = []
  for (let turns = 0; turns < TURNS; turns += 2) {
    theirs.push(await cost(contest, contest.theirs, size))
    ours.push(await cost(contest, contest.ours, size), await cost(contest, contest.ours, size))
    theirs.push(await cost(contest, contest.theirs, size))
  }
  return { ours: undisturbed(ours), theirs: undisturbed(theirs) }
}

function undisturbed(costs: readonly number[]): number {
  const cheaper = costs.toSorted((a, b) => a - b).slice(0, costs.length / 2)
  return cheaper.reduce((sum, one) => sum + one, 0) / cheaper.length
}

/** Makes `count` calls, so many at a time; microseconds of CPU per unit. */
async function cost({ concurrency, units }: Contest, call: () => Promise<unknown>, count: number): Promise<number> {
  let left = count
  const worker = async () => {
    while (left-- > 0) await call()
  }
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: concurrency }, worker))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / (count * units)
}

function report(rows: readonly Row[]): BenchResult {
  return {
    name: 'grpc',
    columns: ['what', 'in flight', 'mesh us CPU', 'bare us CPU', 'ratio', 'middle half', 'target'],
    rows: rows.map(({ name, concurrency, oursUs, theirsUs, ratio, ratioP25, ratioP75, target }) => [
      name,
      concurrency,
      oursUs,
      theirsUs,
      ratio,
      `${ratioP25.toFixed(3)}-${ratioP75.toFixed(3)}`,
      target === undefined ? '' : `<= ${rounded(target, 2)}`,
    ]),
    json: { node: process.version, rows },
    notes: [
      'ratio: median of the comparisons, with the range of their middle half.',
      'The mesh has everything on and balances over three ports; bare grpc-js takes the same three in turn, with a client for each.',
      '"empty channel" has, in place of the mesh, a channel that only passes on over the same three: the least that any layer costs.',
      '"both bare" is the same twice, so it shows what this machine can tell apart.',
    ],
  }
}
