import CircuitBreaker from 'opossum'
import type { Call } from '../core/call.ts'
import { MeshError } from '../core/errors.ts'
import { integerFrom, numberFrom, optionProblems, positiveMs, readOptions, shown } from '../core/options.ts'
import type { CallPermit, FallbackAnswer, ServiceBreaker, ServiceBreakerFactory } from '../core/service-breaker.ts'
import type { Verdict } from '../core/verdict.ts'

/** What answers a refused call: always the same, or made from the call. A function answers at once, not with a promise. */
export type Fallback = FallbackAnswer | ((call: Call, error: MeshError) => FallbackAnswer)

export interface OpossumBreakerOptions {
  /** Opens when more than this share of the calls in the window failed, in percent from 1 to 99. Default 50. */
  readonly errorPercent: number
  /** How far back it looks, in milliseconds, 100 or more. Default 10000. */
  readonly windowMs: number
  /**
   * How long it refuses before one call is let through to see, in milliseconds, above 0. Default 30000. If shorter than `windowMs`,
   * old failures are still in sight when it closes and the next failure opens it again.
   */
  readonly resetMs: number
  /** Does not open before this many calls in the window, 1 or more. Default 10. */
  readonly minCalls: number
  /** Answers the calls that are refused. Default none: they fail with INMESH_BREAKER_OPEN. */
  readonly fallback?: Fallback | undefined
}

/**
 * A breaker for a whole service, run by the package opossum: opens when too large a share of its calls fail over a rolling window, and
 * closes again when a single call succeeds. For a service that is better left alone, or that can be answered without; one bad endpoint
 * among good ones is `consecutiveFailures`' affair.
 *
 * `failure` and `overload` are held against the service; `ignored` calls count neither way, and when it was the one let
 * through, the next may try. Calls that began before it opened count for nothing.
 *
 * Costs about 1.5 us a call, and a timer a service that does not hold the process.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function opossumBreaker(options?: Partial<OpossumBreakerOptions>): ServiceBreakerFactory {
  const read = readOptions('opossumBreaker', options, DEFAULTS, {
    errorPercent: numberFrom(1, 99),
    windowMs: (v) => (positiveMs(v) === undefined && (v as number) >= 100 ? undefined : 'milliseconds from 100 to 2147483647'),
    resetMs: positiveMs,
    minCalls: integerFrom(1),
    fallback: (v) => (typeof v === 'function' ? undefined : answerProblem(v)),
  })
  return () => new OpossumServiceBreaker(read)
}

const DEFAULTS: OpossumBreakerOptions = { errorPercent: 50, windowMs: 10_000, resetMs: 30_000, minCalls: 10, fallback: undefined }

/** What opossum's action throws: made once, as nobody reads it. */
const FAILED = new Error('call failed')

/**
 * opossum wants to run the work itself, as a promise. The work here is driven by callbacks and long under way, so opossum is told of each call
 * when it has ended, by an action that at once succeeds or throws. It keeps the window, the state and the timers; the one thing added is that
 * the call let through occupies its place from its beginning.
 */
class OpossumServiceBreaker implements ServiceBreaker {
  readonly #breaker: CircuitBreaker<[boolean], void>
  readonly #fallback: Fallback | undefined
  readonly #ordinary: CallPermit = { end: (verdict) => this.#endOrdinary(verdict) }
  readonly #probe: CallPermit = { end: (verdict) => this.#endProbe(verdict) }
  #probing = false

  constructor({ errorPercent, windowMs, resetMs, minCalls, fallback }: OpossumBreakerOptions) {
    this.#fallback = fallback
    this.#breaker = new CircuitBreaker<[boolean], void>(outcome, {
      timeout: false,
      errorThresholdPercentage: errorPercent,
      rollingCountTimeout: windowMs,
      rollingPercentilesEnabled: false,
      enableSnapshots: false,
      resetTimeout: resetMs,
      volumeThreshold: minCalls,
    })
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#breaker.halfOpen) return 'half-open'
    return this.#breaker.opened ? 'open' : 'closed'
  }

  admit(): CallPermit | undefined {
    if (this.#breaker.closed || this.#breaker.isShutdown) return this.#ordinary
    if (!this.#breaker.halfOpen || this.#probing) return undefined
    this.#probing = true
    return this.#probe
  }

  answer(call: Call, error: MeshError): FallbackAnswer | undefined {
    if (typeof this.#fallback !== 'function') return this.#fallback
    try {
      const answer = this.#fallback(call, error)
      const problem = answerProblem(answer)
      if (problem === undefined) return answer
      error.cause = new MeshError('INMESH_CONFIG', `opossumBreaker.fallback: expected ${problem}, got ${shown(answer)}`)
    } catch (thrown) {
      error.cause = thrown
    }
    return undefined
  }

  close(): void {
    if (!this.#breaker.isShutdown) this.#breaker.shutdown()
  }

  #endOrdinary(verdict: Verdict): void {
    if (verdict.outcome !== 'ignored' && this.#breaker.closed) void this.#record(verdict)
  }

  #endProbe(verdict: Verdict): void {
    if (verdict.outcome === 'ignored' || this.#breaker.isShutdown) this.#probing = false
    // opossum learns of a success a microtask later: the place stays taken until then.
    else void this.#record(verdict).then(() => (this.#probing = false))
  }

  #record(verdict: Verdict): Promise<void> {
    return this.#breaker.fire(verdict.outcome === 'success').catch(nothing)
  }
}

/** A failure is thrown and not rejected, because opossum then takes it in before `fire` returns. */
function outcome(success: boolean): Promise<void> {
  if (success) return DONE
  throw FAILED
}

const DONE = Promise.resolve()

function nothing(): void {}

/** What was expected of an answer, or undefined when it is one. */
function answerProblem(answer: unknown): string | undefined {
  const expected = 'an answer { status, headers, body }'
  if (typeof answer !== 'object' || answer === null) return `a function or ${expected}`
  const problems = optionProblems('answer', answer, {
    status: integerFrom(200, 599),
    headers: (v) => (isHeaders(v) ? undefined : 'an object of strings'),
    body: (v) => (typeof v === 'string' || v instanceof Uint8Array ? undefined : 'a string or a Buffer'),
  })
  if ((answer as Partial<FallbackAnswer>).status === undefined)
    problems.push('answer.status: expected an integer from 200 to 599, got undefined')
  return problems.length === 0 ? undefined : `${expected} (${problems.join('; ')})`
}

function isHeaders(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.values(value).every((v) => typeof v === 'string')
}
