import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { BenchOptions, BenchResult } from './result.ts'
import type { RotatedRun } from './support/rotated-process.ts'
import { median, rounded } from './support/statistics.ts'

export const description = 'failed calls and latency while identities are rotated every 5 s under load, roots included'
export const slow = true

/** How much the 99th percentile of a window may be of the median one's without rotation. */
const TARGET = 3
const WINDOW_SECONDS = 5
/** Default of `--seconds`: the root is changed three times. */
const SECONDS = 60

/** Two processes at the same time, since what else the machine does meets both alike: in one nothing is rotated. */
export async function run({ seconds = SECONDS }: BenchOptions = {}): Promise<BenchResult> {
  const windows = Math.ceil(seconds / WINDOW_SECONDS)
  const children = ['still', 'rotated'].map((kind) => start(windows, kind))
  await Promise.all(children.map((child) => once(child, 'message')))
  const runs = await Promise.all(children.map(measured))
  for (const child of children) child.disconnect()
  return report(...(runs as [RotatedRun, RotatedRun]))
}

function start(windows: number, kind: string): ChildProcess {
  return fork(join(import.meta.dirname, 'support', 'rotated-process.ts'), [String(windows), kind])
}

async function measured(child: ChildProcess): Promise<RotatedRun> {
  child.send('go')
  return (await once(child, 'message'))[0] as RotatedRun
}

function report(still: RotatedRun, rotated: RotatedRun): BenchResult {
  const usualMs = median(still.windows.map(({ p99Ms }) => p99Ms))
  const [ofStill, ofRotated] = [still, rotated].map(({ windows }) => windows.map(({ p99Ms }) => p99Ms / usualMs)) as [
    number[],
    number[],
  ]
  const rows = rotated.windows.map((one, i) => ({ ...one, ratio: ofRotated[i] as number, still: ofStill[i] as number }))
  const summary = {
    calls: rotated.calls,
    failed: rotated.failed.length,
    failedWithoutRotation: still.failed.length,
    usualP99Ms: rounded(usualMs, 2),
    medianRatio: rounded(median(ofRotated), 2),
    windowsAbove: ofRotated.filter((ratio) => ratio > TARGET).length,
    windowsAboveWithoutRotation: ofStill.filter((ratio) => ratio > TARGET).length,
  }
  return {
    name: 'rotation',
    columns: ['rotation', 'calls', 'p50 ms', 'p99 ms', 'to the usual p99', 'without rotation', 'target'],
    rows: rows.map((one) => [
      one.step,
      one.calls,
      rounded(one.p50Ms, 2),
      rounded(one.p99Ms, 2),
      rounded(one.ratio, 2),
      rounded(one.still, 2),
      `<= ${TARGET}`,
    ]),
    json: { node: process.version, windowSeconds: WINDOW_SECONDS, target: TARGET, summary, rotated, still },
    notes: [
      `${summary.calls} calls, ${summary.failed} failed (without rotation ${summary.failedWithoutRotation}): POST by mesh.fetch over HTTP/1.1 and HTTP/2 and by node:http, unary calls of gRPC.`,
      `p99 of a window: in the median ${summary.medianRatio} of the usual ${summary.usualP99Ms} ms, above ${TARGET} in ${summary.windowsAbove} windows; without rotation in ${summary.windowsAboveWithoutRotation}.`,
      'the usual p99 is the median of the windows without rotation, at the same time in another process. Both ends are in one process, which also issues.',
      'Leaves live 20 s, so that all connections are made anew within 10 s of each rotation.',
    ],
  }
}
