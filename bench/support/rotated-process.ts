/**
 * Run as a child process: calls services under steady load for as many windows as its first argument says, and at the begin of each rotates their
 * identities if its second one is `rotated`. Says when it is warm, begins when it is told to, tells what it saw. Ends with its parent.
 */
import { once } from 'node:events'
import { RotatedServices, type RotationStep } from '../../test/support/rotated-services.ts'
import { SteadyLoad } from '../../test/support/steady-load.ts'
import { median, quantile } from './statistics.ts'

export interface Window {
  readonly step: RotationStep | 'none'
  readonly calls: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** What the parent is told at the end. */
export interface RotatedRun {
  readonly windows: readonly Window[]
  readonly calls: number
  readonly failed: readonly string[]
}

const WINDOW_MS = 5_000
/** Between two calls of each of the four kinds. */
const EVERY_MS = 10
const LEAF_LIFE_MS = 20_000
const DAY_MS = 24 * 3_600_000
const CYCLE: readonly RotationStep[] = ['renew', 'addRoot', 'changeIssuer', 'removeOldRoots']

process.on('disconnect', () => process.exit())
const [count, kind] = process.argv.slice(2) as [string, 'rotated' | 'still']
const services = await RotatedServices.start(DAY_MS)
const load = new SteadyLoad(services.doors, EVERY_MS)
await new Promise((resolve) => setTimeout(resolve, WINDOW_MS))
process.send?.('warm')
await once(process, 'message')

const windows: Window[] = []
const startedAt = performance.now()
services.issuer.lifeMs = LEAF_LIFE_MS
for (let i = 0; i < Number(count); i++) {
  const step = kind === 'still' ? 'none' : (CYCLE[i % CYCLE.length] as RotationStep)
  load.latencies = []
  if (step !== 'none') await services.rotate(step)
  await new Promise((resolve) => setTimeout(resolve, startedAt + (i + 1) * WINDOW_MS - performance.now()))
  const { latencies } = load
  windows.push({ step, calls: latencies.length, p50Ms: median(latencies), p99Ms: quantile(latencies, 0.99) })
}
await load.stop()
process.send?.({ windows, calls: load.begun, failed: load.failed } satisfies RotatedRun)
await services.close()
