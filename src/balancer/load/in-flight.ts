import type { Runtime } from '../../core/clock.ts'
import type { LoadMeter } from '../../core/load.ts'
import { positiveMs, readOptions } from '../../core/options.ts'
import type { Verdict } from '../../core/verdict.ts'
import { ReportedLoad, UsualStretch } from './reported-load.ts'
import { stayAwayMs } from './stay-away.ts'

export interface InFlightOptions {
  /** How long a failed call goes on counting, in milliseconds above 0; default 5,000. */
  readonly penaltyMs?: number
}

/**
 * Measures load as the number of calls in flight, and one. Needs no latencies; right where calls differ more in what they ask than
 * endpoints differ in speed.
 *
 * A failed call goes on counting as if it had taken `penaltyMs` more, or what `Retry-After` asks, up to 300 s. Otherwise an endpoint that fails fast
 * has the fewest calls in flight and is sent everything.
 *
 * Where servers report their load, calls weigh more at one that is busier than is usual in its service, and less at one that is idler.
 *
 * @returns for a service, what makes the meters of its endpoints
 * @throws MeshError INMESH_CONFIG
 */
export function inFlight(options?: InFlightOptions): (runtime: Runtime) => () => LoadMeter {
  const { penaltyMs } = readOptions<Required<InFlightOptions>>(
    'inFlight',
    options,
    { penaltyMs: 5_000 },
    { penaltyMs: positiveMs },
  )
  return () => {
    const usual = new UsualStretch()
    return () => new InFlight(penaltyMs, usual)
  }
}

class InFlight implements LoadMeter {
  readonly #penaltyMs: number
  readonly #reported: ReportedLoad
  #inFlight = 0
  /** Failed calls that go on counting, as of `#failedAt`. They fade away with e^(-t/penalty), which in sum is `penaltyMs` a call. */
  #failed = 0
  #failedAt = 0

  constructor(penaltyMs: number, usual: UsualStretch) {
    this.#penaltyMs = penaltyMs
    this.#reported = new ReportedLoad(usual)
  }

  cost(now: number): number {
    const calls = this.#failed === 0 ? this.#inFlight + 1 : this.#inFlight + 1 + this.#lingering(now)
    return calls * this.#reported.factor(now)
  }

  start(_now: number): void {
    this.#inFlight++
  }

  sample(now: number, _elapsedMs: number, verdict: Verdict): void {
    if (verdict.outcome !== 'failure' && verdict.outcome !== 'overload') return
    const calls = stayAwayMs(verdict) / this.#penaltyMs
    this.#failed = this.#lingering(now) + (calls > 1 ? calls : 1)
    this.#failedAt = now
  }

  end(_now: number): void {
    if (this.#inFlight > 0) this.#inFlight--
  }

  report(now: number, utilization: number): void {
    this.#reported.report(now, utilization)
  }

  #lingering(now: number): number {
    return this.#failed * Math.exp((this.#failedAt - now) / this.#penaltyMs)
  }
}
