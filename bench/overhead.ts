import type { BenchResult } from './result.ts'
import { startAnswering } from './support/answering-process.ts'
import { type Client, makeClients } from './support/clients.ts'
import { median, quantile, rounded } from './support/statistics.ts'

export const description = 'CPU per request of this process, for a small GET on loopback with keep-alive'
export const slow = true

/** The share of its pair's cost that each door of the mesh may have. */
const TARGETS: Readonly<Record<string, number>> = { 'mesh.request': 1.08, 'mesh.fetch': 0.5, 'mesh.httpAgent': 1.1 }
/** Requests in flight, and how long that is measured. */
const SETTINGS = [
  { concurrency: 16, forMs: 45_000 },
  { concurrency: 1, forMs: 30_000 },
]
const PORTS = 3
/** How much CPU one turn takes, about: long enough that the garbage of each client is collected within its turns. */
const TURN_MS = 24
/** Turns of each of the two in a comparison. The cheaper half counts: a neighbour on the machine can only make a turn dearer. */
const TURNS = 8
/** Requests that each client makes before anything is measured. */
const WARM_UP = 4_000

interface Row {
  readonly client: string
  readonly concurrency: number
  /** Microseconds of CPU per request, median over the rounds. */
  readonly cpuUs: number
  readonly pair: string
  /** Of the cost to the pair's in the same comparison: median and quartiles; none for the pair itself. */
  readonly ratio?: number
  readonly ratioP25?: number
  readonly ratioP75?: number
  readonly target?: number
  /** How many there were. */
  readonly comparisons?: number
}

/**
 * In each round every client is compared with its pair, in a new order of the clients each time. In a comparison the two take turns in the
 * order ABBAABBA..., so that what drifts (heat, neighbours, the collector) meets both alike. Each comparison gives one ratio.
 */
export async function run(): Promise<BenchResult> {
  const server = await startAnswering(PORTS)
  const clients = makeClients(server.ports)
  try {
    for (const client of clients.list) await turn(client, WARM_UP, 16)
    const rows: Row[] = []
    for (const { concurrency, forMs } of SETTINGS) rows.push(...(await measure(clients.list, concurrency, forMs)))
    return report(rows)
  } finally {
    await clients.close()
    server.stop()
  }
}

async function measure(clients: readonly Client[], concurrency: number, forMs: number): Promise<Row[]> {
  const sizes = new Map<Client, number>()
  for (const client of clients) sizes.set(client, await turnSize(client, concurrency))
  const samples = new Map(clients.map((client): [Client, Sample[]] => [client, []]))
  for (const end = performance.now() + forMs; performance.now() < end; ) {
    for (const client of shuffled(clients)) {
      const pair = clients.find((other) => other.name === client.pair)
      if (pair === undefined || pair === client) continue
      const size = Math.min(sizes.get(client) ?? 0, sizes.get(pair) ?? 0)
      samples.get(client)?.push(await compare(client, pair, size, concurrency))
    }
  }
  return clients.map((client) => row(client, concurrency, samples))
}

/** What a request cost the client and its pair, in one comparison. */
interface Sample {
  readonly own: number
  readonly pair: number
}

/** Both make the same number of requests a turn. */
async function compare(client: Client, pair: Client, size: number, concurrency: number): Promise<Sample> {
  const own: number[] = []
  const other: number[] = []
  for (let turns = 0; turns < TURNS; turns += 2) {
    other.push(await turn(pair, size, concurrency))
    own.push(await turn(client, size, concurrency), await turn(client, size, concurrency))
    other.push(await turn(pair, size, concurrency))
  }
  return { own: undisturbed(own), pair: undisturbed(other) }
}

function undisturbed(costs: readonly number[]): number {
  const cheaper = costs.toSorted((a, b) => a - b).slice(0, costs.length / 2)
  return cheaper.reduce((sum, cost) => sum + cost, 0) / cheaper.length
}

/** How many requests fill a turn, judged by the cheapest of a few tries. */
async function turnSize(client: Client, concurrency: number): Promise<number> {
  const costs: number[] = []
  for (let tries = 0; tries < 5; tries++) costs.push(await turn(client, 300, concurrency))
  return Math.round((TURN_MS * 1_000) / Math.min(...costs))
}

/** Makes `count` requests, so many at a time; microseconds of CPU per request. */
async function turn({ get }: Client, count: number, concurrency: number): Promise<number> {
  let left = count
  const worker = async () => {
    while (left-- > 0) await get()
  }
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: concurrency }, worker))
  const { user, system } = process.cpuUsage(before)
  return (user + system) / count
}

function row(client: Client, concurrency: number, samples: ReadonlyMap<Client, readonly Sample[]>): Row {
  const { name, pair } = client
  const own = samples.get(client) ?? []
  const asPair = [...samples].filter(([other]) => other.pair === name).flatMap(([, list]) => list)
  const costs = [...own.map((sample) => sample.own), ...asPair.map((sample) => sample.pair)]
  const shown = { client: name, concurrency, cpuUs: rounded(median(costs), 1), pair }
  if (name === pair) return shown
  const ratios = own.map((sample) => sample.own / sample.pair)
  const [ratioP25, ratio, ratioP75] = [0.25, 0.5, 0.75].map((q) => rounded(quantile(ratios, q), 3)) as [number, number, number]
  const target = TARGETS[name]
  const spread = { ratio, ratioP25, ratioP75, comparisons: own.length }
  return target === undefined ? { ...shown, ...spread } : { ...shown, ...spread, target }
}

function report(rows: readonly Row[]): BenchResult {
  return {
    name: 'overhead',
    columns: ['client', 'in flight', 'us CPU/request', 'ratio', 'middle half', 'rounds', 'to', 'target'],
    rows: rows.map((one) => [
      one.client,
      one.concurrency,
      one.cpuUs,
      one.ratio ?? '',
      one.ratio === undefined ? '' : `${one.ratioP25?.toFixed(3)}-${one.ratioP75?.toFixed(3)}`,
      one.ratio === undefined ? '' : (one.comparisons ?? ''),
      one.ratio === undefined ? '' : one.pair,
      one.target === undefined ? '' : `<= ${one.target}`,
    ]),
    json: { node: process.version, settings: SETTINGS, rows },
    notes: [
      'ratio: median of the comparisons, with the range of their middle half.',
      '"undici.request again" is the same client twice, so it shows what this machine can tell apart.',
      'The mesh has everything on and balances over three ports; undici.request takes the same three in turn through one Agent, the others likewise.',
    ],
  }
}

/** Fisher and Yates. */
function shuffled<T>(list: readonly T[]): T[] {
  const copy = [...list]
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1))
    ;[copy[last], copy[other]] = [copy[other] as T, copy[last] as T]
  }
  return copy
}
