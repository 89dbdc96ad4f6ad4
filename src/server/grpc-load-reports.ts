import { binaryReport } from '../core/load-report-binary.ts'
import type { LoadMonitor } from './load-monitor.ts'

/** Tells each connection each load report once, so that reporting costs next to nothing under load. */
export class GrpcLoadReports {
  readonly #load: LoadMonitor
  #serial = -1
  #bytes: Buffer = Buffer.alloc(0)

  constructor(load: LoadMonitor) {
    this.#load = load
  }

  /**
   * The value of the trailer `endpoint-load-metrics-bin`; undefined when this connection knows it.
   *
   * @param connection undefined for one that can't be recognized
   */
  next(now: number, inFlight: number, connection: object | undefined): Buffer | undefined {
    const load = this.#load
    load.refresh(now, inFlight)
    const told = connection as { [REPORTED]?: number } | undefined
    if (told?.[REPORTED] === load.serial) return undefined
    if (told !== undefined) told[REPORTED] = load.serial
    if (this.#serial !== load.serial) {
      this.#bytes = binaryReport(load.report)
      this.#serial = load.serial
    }
    return this.#bytes
  }
}

const REPORTED = Symbol('inmesh.reported')
