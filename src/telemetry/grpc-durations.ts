import { GRPC_CODES } from '../core/grpc-codes.ts'
import { BucketHistogram } from './histogram.ts'
import { StepHistogram } from './step-histogram.ts'

/** The bounds of latency buckets in gRPC's own metrics, in seconds, inclusive (gRFC A66). */
export const GRPC_BOUNDS_S: readonly number[] = [
  0, 0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008, 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02,
  0.025, 0.03, 0.04, 0.05, 0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1, 2, 5, 10, 20, 50, 100,
]

const GRPC_BOUNDS_MS = Float64Array.from(GRPC_BOUNDS_S, (s) => s * 1_000)

/** Durations in milliseconds by status code, a histogram for each code that occurs. */
export class ByCode<H extends { record(ms: number): void }> {
  readonly #make: () => H
  readonly #histograms: (H | undefined)[] = new Array(GRPC_CODES.length).fill(undefined)

  constructor(make: () => H) {
    this.#make = make
  }

  /** @param code one that gRPC knows */
  record(code: number, ms: number): void {
    const known = this.#histograms[code]
    if (known !== undefined) return known.record(ms)
    const made = this.#make()
    this.#histograms[code] = made
    made.record(ms)
  }

  /** Each histogram there is, with the name of its code. */
  map<P>(pointOf: (code: (typeof GRPC_CODES)[number], histogram: H) => P): P[] {
    return this.#histograms.flatMap((histogram, i) =>
      histogram === undefined ? [] : [pointOf(GRPC_CODES[i] as (typeof GRPC_CODES)[number], histogram)],
    )
  }
}

/** In the buckets of gRPC's own metrics. */
export function grpcDurations(): ByCode<StepHistogram> {
  return new ByCode(() => new StepHistogram(GRPC_BOUNDS_MS))
}

/** In the buckets of OpenTelemetry's conventions. */
export function rpcDurations(): ByCode<BucketHistogram> {
  return new ByCode(() => new BucketHistogram())
}
