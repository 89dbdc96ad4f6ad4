import { leastRequest } from '../src/balancer/least-request.ts'
import { p2c } from '../src/balancer/p2c.ts'
import { roundRobin } from '../src/balancer/round-robin.ts'
import type { Balancer, BalancerFactory } from '../src/core/balancer.ts'
import type { Call } from '../src/core/call.ts'
import { Endpoint } from '../src/core/endpoint.ts'
import { openGate } from '../src/core/gate.ts'
import { unmetered } from '../src/core/load.ts'
import { ERROR_STATUS, OK, type Verdict } from '../src/core/verdict.ts'
import { virtualRuntime } from '../test/support/virtual-time.ts'
import type { BenchResult } from './result.ts'

export const description = 'what the callers see while one of eleven endpoints is slow or fails, on a virtual clock'

/** What an endpoint does with a call. */
interface Answer {
  readonly ms: number
  readonly verdict: Verdict
}

/** How endpoint `index` answers a call that is sent `at` milliseconds after the start; `usual` is its latency on a good day. */
export type Behaviour = (index: number, at: number, usual: number, random: () => number) => Answer

export interface Outcome {
  /** Share of the calls that succeeded within 1 s. */
  readonly success: number
  /** Of all calls, in the order of `PERCENTILES`, in milliseconds. */
  readonly percentilesMs: readonly number[]
  /** Share of the calls that were sent to the endpoint in trouble, while it was. */
  readonly troubled: number
}

export const PERCENTILES = [90, 95, 97, 98, 99, 99.9, 99.99, 99.999]

const ENDPOINTS = 11
const QPS = 1_000
const SECONDS = 60
const TROUBLE_FROM_MS = 15_000
const TROUBLE_TO_MS = 45_000
const TIMEOUT_MS = 1_000
const TROUBLED = 5

/** The latencies of "Beyond Round Robin: Load Balancing for Latency" (2016): quantile, milliseconds. */
const LATENCIES: readonly (readonly [number, number])[] = [
  [0, 164.086],
  [0.5, 167.483],
  [0.9, 176.702],
  [0.95, 181.722],
  [0.99, 192.31],
  [0.999, 198.833],
  [1, 199.989],
]

/** One endpoint is ten times slower from 15 s to 45 s. */
export const slow: Behaviour = (index, at, usual) => ({ ms: inTrouble(index, at) ? usual * 10 : usual, verdict: OK })

/** One endpoint answers 500 after 1 ms from 15 s to 45 s. */
export const failing: Behaviour = (index, at, usual) =>
  inTrouble(index, at) ? { ms: 1, verdict: ERROR_STATUS } : { ms: usual, verdict: OK }

/** As `slow`, and one call in twenty is answered with 500 wherever it is sent. */
export const slowAmongErrors: Behaviour = (index, at, usual, random) => {
  const { ms } = slow(index, at, usual, random)
  return random() < 0.05 ? { ms, verdict: ERROR_STATUS } : { ms, verdict: OK }
}

const STRATEGIES: Readonly<Record<string, () => BalancerFactory>> = {
  'round robin': roundRobin,
  'least request': leastRequest,
  'peak EWMA': p2c,
}

const SCENARIOS: Readonly<Record<string, Behaviour>> = {
  'one is ten times slower': slow,
  'one fails in 1 ms': failing,
  'one is slower, 5 % fail anywhere': slowAmongErrors,
}

export async function run(): Promise<BenchResult> {
  const results = Object.entries(SCENARIOS).flatMap(([scenario, behaviour]) =>
    Object.entries(STRATEGIES).map(([strategy, balancer]) => ({ scenario, strategy, ...simulate(balancer(), behaviour, 1) })),
  )
  return {
    name: 'balance',
    columns: ['scenario', 'strategy', 'within 1 s', 'to it', ...PERCENTILES.map((p) => `p${p}`)],
    rows: results.map((r) => [
      r.scenario,
      r.strategy,
      `${(r.success * 100).toFixed(2)} %`,
      `${(r.troubled * 100).toFixed(2)} %`,
      ...r.percentilesMs.map(Math.round),
    ]),
    json: results,
    notes: [
      `${ENDPOINTS} endpoints, one client, ${QPS} calls a second for ${SECONDS} s; one endpoint is in trouble from 15 s to 45 s. No retries, no breaker.`,
      'within 1 s: calls that succeeded in that time. to it: share of the calls, during the trouble, that went to the endpoint in trouble.',
      'Published for the first scenario, 99th percentile: round robin 1715 ms, least loaded 205 ms, peak EWMA 200 ms.',
    ],
  }
}

/** Runs the real balancer and its real meters through one minute. The same seed, the same result. */
export function simulate(factory: BalancerFactory, behaviour: Behaviour, seed: number): Outcome {
  const runtime = virtualRuntime(seed)
  const balancer = factory(runtime)
  const endpoints = Array.from({ length: ENDPOINTS }, (_, i) => endpointOf(balancer, i))
  balancer.update(endpoints)

  const flights = new Flights()
  const latencies = new Float64Array(QPS * SECONDS)
  let good = 0
  let toTroubled = 0
  for (let n = 0; n < latencies.length; n++) {
    const now = (n * 1_000) / QPS
    flights.land(now)
    const endpoint = balancer.pick(CALL, now, undefined) as Endpoint
    const { ms, verdict } = behaviour(endpoints.indexOf(endpoint), now, usualLatency(runtime.random()), runtime.random)
    endpoint.inFlight++
    endpoint.meter.start(now)
    flights.add({ endpoint, startedAt: now, at: now + ms, verdict })
    latencies[n] = ms
    if (verdict.outcome === 'success' && ms <= TIMEOUT_MS) good++
    if (inTrouble(endpoints.indexOf(endpoint), now)) toTroubled++
  }
  latencies.sort()
  return {
    success: good / latencies.length,
    percentilesMs: PERCENTILES.map((p) => latencies[Math.ceil((p / 100) * latencies.length) - 1] as number),
    troubled: toTroubled / (((TROUBLE_TO_MS - TROUBLE_FROM_MS) * QPS) / 1_000),
  }
}

interface Flight extends Pick<Answer, 'verdict'> {
  readonly endpoint: Endpoint
  readonly startedAt: number
  readonly at: number
}

/** Calls under way, in a binary heap by the time of their answer. */
class Flights {
  readonly #heap: Flight[] = []

  add(flight: Flight): void {
    const heap = this.#heap
    let i = heap.length
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent] as Flight
      if (above.at <= flight.at) break
      heap[i] = above
      i = parent
    }
    heap[i] = flight
  }

  /** Answers all that are due, in order. */
  land(now: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= now; next = this.#heap[0]) {
      this.#removeFirst()
      next.endpoint.meter.sample(next.at, next.at - next.startedAt, next.verdict)
      next.endpoint.inFlight--
      next.endpoint.meter.end(next.at)
    }
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop() as Flight
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child + 1 < heap.length && (heap[child + 1] as Flight).at < (heap[child] as Flight).at) child++
      if (child >= heap.length || (heap[child] as Flight).at >= last.at) break
      heap[i] = heap[child] as Flight
      i = child
    }
    heap[i] = last
  }
}

function inTrouble(index: number, at: number): boolean {
  return index === TROUBLED && at >= TROUBLE_FROM_MS && at < TROUBLE_TO_MS
}

/** The latency at quantile u, by linear interpolation. */
function usualLatency(u: number): number {
  const above = LATENCIES.findIndex(([quantile]) => quantile >= u)
  const [q1, ms1] = LATENCIES[above] as readonly [number, number]
  const [q0, ms0] = LATENCIES[Math.max(0, above - 1)] as readonly [number, number]
  return q1 === q0 ? ms1 : ms0 + ((u - q0) / (q1 - q0)) * (ms1 - ms0)
}

function endpointOf(balancer: Balancer, i: number): Endpoint {
  return new Endpoint({ host: '10.0.0.1', port: 8_000 + i }, Number.NEGATIVE_INFINITY, balancer.meter?.() ?? unmetered, openGate)
}

const CALL: Call = { authority: 'voting', method: 'GET', path: '/', idempotent: true, header: () => undefined }
