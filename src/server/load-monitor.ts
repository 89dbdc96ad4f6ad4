import { performance } from 'node:perf_hooks'
import { type LoadReport, loadReportText } from '../core/load-report.ts'

/** The share of time that the event loop was busy since it was last asked, from 0 to 1. */
export type LoopUtilization = () => number

/** A report is made anew after this time, in milliseconds: long enough to mean something, short enough to balance by. */
const WINDOW_MS = 250

/** What this process says of its load: how busy its event loop is, requests and errors a second, requests in flight. O(1) a request. */
export class LoadMonitor {
  /** Grows with each new report, so that a connection can remember which it has told. */
  serial = 0
  report: Readonly<Partial<LoadReport>> = {}
  #text = ''
  #madeAt = Number.NEGATIVE_INFINITY
  #requests = 0
  #errors = 0
  readonly #loop: LoopUtilization

  constructor(loop: LoopUtilization = loopUtilization()) {
    this.#loop = loop
  }

  /** A request is over. */
  ended(failed: boolean): void {
    this.#requests++
    if (failed) this.#errors++
  }

  /** Makes a new report if the last is too old; to be called before `serial`, `report` and `text` are read. */
  refresh(now: number, inFlight: number): void {
    const passedMs = now - this.#madeAt
    if (passedMs < WINDOW_MS) return
    this.report = {
      applicationUtilization: this.#loop(),
      rps: (this.#requests * 1_000) / passedMs,
      eps: (this.#errors * 1_000) / passedMs,
      inFlight,
    }
    this.serial++
    this.#text = ''
    this.#madeAt = now
    this.#requests = 0
    this.#errors = 0
  }

  /** The value of the header `endpoint-load-metrics`. */
  get text(): string {
    if (this.#text === '') this.#text = loadReportText(this.report)
    return this.#text
  }
}

/** This process's own event loop, from one question to the next. */
function loopUtilization(): LoopUtilization {
  let last = performance.eventLoopUtilization()
  return () => {
    const now = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(now, last)
    last = now
    return utilization
  }
}
