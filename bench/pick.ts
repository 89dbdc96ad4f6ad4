import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { slowStart } from '../src/balancer/around/slow-start.ts'
import { zones } from '../src/balancer/around/zones.ts'
import { leastRequest } from '../src/balancer/least-request.ts'
import { p2c } from '../src/balancer/p2c.ts'
import { random } from '../src/balancer/random.ts'
import { ringHash } from '../src/balancer/ring-hash.ts'
import { roundRobin } from '../src/balancer/round-robin.ts'
import type { Balancer, BalancerFactory } from '../src/core/balancer.ts'
import type { Call } from '../src/core/call.ts'
import { systemClock, systemRandom } from '../src/core/clock.ts'
import { Endpoint } from '../src/core/endpoint.ts'
import { openGate } from '../src/core/gate.ts'
import { unmetered } from '../src/core/load.ts'
import { OK } from '../src/core/verdict.ts'
import { retryLoop } from '../src/resilience/retry-loop.ts'
import type { BenchResult } from './result.ts'

export const description = 'nanoseconds and bytes of one pick, and milliseconds of an update, by number of endpoints'

interface Row {
  readonly balancer: string
  readonly endpoints: number
  readonly nsPerPick: number
  readonly bytesPerPick: number
  /** One endpoint goes and another comes. */
  readonly msPerUpdate: number
}

const SIZES = [2, 100, 10_000]
const ROUNDS = 15
const PICKS_A_ROUND = 50_000
const UPDATES = 15
const RUNTIME = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }

const BALANCERS: Readonly<Record<string, BalancerFactory>> = {
  p2c: p2c(),
  'p2c, slow start': slowStart({}, p2c()),
  'p2c, zones': zones({ zone: 'a' }, p2c()),
  'least-request': leastRequest(),
  'round-robin': roundRobin(),
  random: random(),
  'ring-hash': ringHash(),
}

export async function run(): Promise<BenchResult> {
  const rows = Object.entries(BALANCERS).flatMap(([name, factory]) => SIZES.map((size) => measure(name, factory, size)))
  return {
    name: 'pick',
    columns: ['balancer', 'endpoints', 'ns/pick', 'bytes/pick', 'ms/update'],
    rows: rows.map((r) => [
      r.balancer,
      r.endpoints,
      Math.round(r.nsPerPick),
      r.bytesPerPick.toFixed(1),
      r.msPerUpdate.toFixed(2),
    ]),
    json: rows,
    notes: [
      `ns/pick: median of ${ROUNDS} rounds of ${PICKS_A_ROUND.toLocaleString('en')} picks; every endpoint has answered before and some are busy.`,
      'bytes/pick: growth of the heap over one round that no garbage collection interrupts.',
      `ms/update: median of ${UPDATES} updates; each time one endpoint has gone and a new one has come.`,
    ],
  }
}

function measure(balancerName: string, factory: BalancerFactory, size: number): Row {
  const balancer = factory(RUNTIME)
  const endpoints = Array.from({ length: size }, (_, i) => endpointOf(balancer, i))
  balancer.update(endpoints)
  useSome(endpoints)

  const nanoseconds = Array.from({ length: ROUNDS + 3 }, () => timeOf(() => pickMany(balancer, PICKS_A_ROUND)) / PICKS_A_ROUND)
  return {
    balancer: balancerName,
    endpoints: size,
    nsPerPick: median(nanoseconds.slice(3)) * 1e6,
    bytesPerPick: bytesOf(() => pickMany(balancer, PICKS_A_ROUND)) / PICKS_A_ROUND,
    msPerUpdate: updateTime(balancer, endpoints),
  }
}

/** The time stands for a thousand picks, so that the number that holds it is not counted against the pick. */
function pickMany(balancer: Balancer, picks: number): number {
  let picked = 0
  for (let i = 0; i < picks; i += 1_000) {
    const now = systemClock.now()
    for (let k = 0; k < 1_000; k++) {
      if (balancer.pick(CALLS[k & 63] as Call, now, undefined) !== undefined) picked++
    }
  }
  return picked
}

function updateTime(balancer: Balancer, endpoints: readonly Endpoint[]): number {
  let current = endpoints
  const times = Array.from({ length: UPDATES }, (_, i) => {
    const gone = current[i % current.length]
    const next = [...current.filter((e) => e !== gone), endpointOf(balancer, endpoints.length + i)]
    const time = timeOf(() => balancer.update(next))
    gone?.leave()
    current = next
    return time
  })
  return median(times)
}

function endpointOf(balancer: Balancer, i: number): Endpoint {
  const address = { host: `10.0.${i >> 8}.${i & 255}`, port: 8_080, zone: i % 2 === 0 ? 'a' : 'b' }
  return new Endpoint(address, Number.NEGATIVE_INFINITY, balancer.meter?.() ?? unmetered, openGate)
}

/** Latencies from 5 to 15 ms, and every seventh endpoint has a call in flight. */
function useSome(endpoints: readonly Endpoint[]): void {
  const now = systemClock.now()
  endpoints.forEach((endpoint, i) => {
    endpoint.meter.start(now)
    endpoint.meter.sample(now, 5.5 + (i % 11), OK)
    if (i % 7 !== 0) endpoint.meter.end(now)
  })
}

function timeOf(work: () => unknown): number {
  const start = systemClock.now()
  work()
  return systemClock.now() - start
}

/** Heap that `work` leaves behind, garbage included, in bytes: the least of five runs, as other things allocate as well. */
function bytesOf(work: () => unknown): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const runs = Array.from({ length: 5 }, () => {
    collect()
    const before = process.memoryUsage().heapUsed
    work()
    return process.memoryUsage().heapUsed - before
  })
  return Math.max(0, Math.min(...runs))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] as number
}

const CALLS: readonly Call[] = Array.from({ length: 64 }, (_, i) => ({
  authority: 'voting',
  method: 'GET',
  path: `/api/vote/${i}?choice=${i}`,
  idempotent: true,
  header: () => undefined,
}))
