import type { Runtime } from '../../core/clock.ts'
import type { LoadMeter } from '../../core/load.ts'
import { durationMs, positiveMs, readOptions } from '../../core/options.ts'
import type { Verdict } from '../../core/verdict.ts'
import { ReportedLoad, UsualStretch } from './reported-load.ts'
import { stayAwayMs } from './stay-away.ts'

export interface PeakEwmaOptions {
  /** What an endpoint is believed to need until its first answer, in milliseconds above 0; default 30. */
  readonly defaultRttMs?: number
  /** Time constant with which the past is forgotten, in milliseconds above 0; default 10,000. */
  readonly decayMs?: number
  /** What a failure counts as, in milliseconds; default 5,000. */
  readonly penaltyMs?: number
}

/** No estimate falls below this, in milliseconds, so that calls in flight always cost something. */
const MIN_ESTIMATE_MS = 0.01

/**
 * Measures load as the time an endpoint is believed to need, times what it already has to do: estimate x (in flight + 1), in
 * milliseconds. The estimate jumps to a slower answer at once and comes down with `decayMs` (Finagle's "peak EWMA").
 *
 * A failure counts as a slow answer of `penaltyMs`, or of what `Retry-After` asks, up to 300 s: plain peak EWMA takes an endpoint
 * that fails fast for a fast one and sends it everything. A plain error answer (500 and the like, no "unavailable") may be the fault of the
 * request: it counts so once there are more in a row than chance explains, given how many of the service's answers are errors.
 *
 * Where servers report their load, the time is taken to be longer at one that is busier than is usual in its service, and shorter at one that is idler.
 *
 * @returns for a service, what makes the meters of its endpoints
 * @throws MeshError INMESH_CONFIG
 */
export function peakEwma(options?: PeakEwmaOptions): (runtime: Runtime) => () => LoadMeter {
  const read = readOptions<Required<PeakEwmaOptions>>(
    'peakEwma',
    options,
    { defaultRttMs: 30, decayMs: 10_000, penaltyMs: 5_000 },
    { defaultRttMs: positiveMs, decayMs: positiveMs, penaltyMs: durationMs },
  )
  return () => {
    const errors = new ErrorShare()
    const usual = new UsualStretch()
    return () => new PeakEwma(read, errors, usual)
  }
}

class PeakEwma implements LoadMeter {
  readonly #decayMs: number
  readonly #penaltyMs: number
  readonly #errors: ErrorShare
  readonly #reported: ReportedLoad
  /** As of `#at`. */
  #estimateMs: number
  #at = 0
  /** How fast the estimate fades, per millisecond; 0 as long as it is the guess of `defaultRttMs`, which does not. */
  #fading = 0
  #inFlight = 0
  /** Attempts without a sample, and since when at the least each of them waits. */
  #waiting = 0
  #waitingSince = 0
  /** Error answers in a row. */
  #errorRun = 0

  constructor(options: Required<PeakEwmaOptions>, errors: ErrorShare, usual: UsualStretch) {
    this.#decayMs = options.decayMs
    this.#penaltyMs = options.penaltyMs
    this.#estimateMs = options.defaultRttMs
    this.#errors = errors
    this.#reported = new ReportedLoad(usual)
  }

  /**
   * Silence speaks for an endpoint only while it owes no answer. Whoever has waited for 800 ms knows that it takes 800 ms at the
   * least; without this, one that hangs would grow cheaper by the second.
   */
  cost(now: number): number {
    const waited = this.#waiting > 0 ? now - this.#waitingSince : 0
    const ms = Math.max(this.#believed(now), waited, MIN_ESTIMATE_MS)
    return ms * (this.#inFlight + 1) * this.#reported.factor(now)
  }

  start(now: number): void {
    this.#inFlight++
    if (this.#waiting++ === 0) this.#waitingSince = now
  }

  sample(now: number, elapsedMs: number, verdict: Verdict): void {
    const believed = this.#believed(now)
    if (this.#waiting > 0) this.#waiting--
    this.#waitingSince = now
    switch (verdict.outcome) {
      case 'success':
        this.#errorRun = 0
        this.#errors.record(0)
        return this.#observe(now, elapsedMs)
      case 'failure':
      case 'overload':
        return this.#observe(now, Math.max(elapsedMs, believed, this.#penalty(verdict)))
      case 'ignored':
        // Somebody who left after 20 ms says nothing of an endpoint that takes 30; after 2 s it says that it takes longer.
        if (elapsedMs > believed) this.#observe(now, elapsedMs)
    }
  }

  end(_now: number): void {
    if (this.#inFlight > 0) this.#inFlight--
    if (this.#waiting > this.#inFlight) this.#waiting = this.#inFlight
  }

  report(now: number, utilization: number): void {
    this.#reported.report(now, utilization)
  }

  /**
   * The estimate as it has faded by now. Reading changes nothing: were the decay written back, as Finagle and tower do, the
   * weight of the next answer would be that of the time since the last *read*, next to nothing on a busy service.
   */
  #believed(now: number): number {
    return this.#estimateMs * Math.exp((this.#at - now) * this.#fading)
  }

  /** Peak EWMA over samples at irregular times, with w = e^(-dt/decay): Finagle's `PeakEwma`, tower's `load::peak_ewma`. */
  #observe(now: number, ms: number): void {
    if (this.#fading === 0 || ms > this.#estimateMs) {
      this.#estimateMs = ms
    } else {
      const w = Math.exp((this.#at - now) * this.#fading)
      this.#estimateMs = this.#estimateMs * w + ms * (1 - w)
    }
    this.#at = now
    this.#fading = 1 / this.#decayMs
  }

  #penalty(verdict: Verdict): number {
    if (verdict.reason !== 'error_status') return Math.max(this.#penaltyMs, stayAwayMs(verdict))
    this.#errorRun++
    const blamed = this.#errors.explains(this.#errorRun) ? 0 : this.#penaltyMs
    this.#errors.record(1)
    return blamed
  }
}

/**
 * Share of a service's answers that are errors (500 and the like), all endpoints together. Where one call in ten fails wherever it
 * is sent, an error is no news of the endpoint; were each held against it, every endpoint would always look like 5 s and slow ones
 * could no longer be told from fast ones.
 */
class ErrorShare {
  static readonly #MEMORY = 256
  /** How improbable a run must be, if it were chance, before the endpoint is blamed for it. */
  static readonly #LOG_CHANCE = Math.log(1e-6)
  #share = 0.05
  #count = 20

  record(error: 0 | 1): void {
    if (this.#count < ErrorShare.#MEMORY) this.#count++
    this.#share += (error - this.#share) / this.#count
  }

  /** Whether so many errors in a row may well be chance. */
  explains(run: number): boolean {
    return run * Math.log(this.#share) > ErrorShare.#LOG_CHANCE
  }
}
