import type { Call } from './call.ts'
import type { Endpoint } from './endpoint.ts'
import { readLoadReport, utilizationOf } from './load-report.ts'
import type { Route } from './route.ts'
import type { Service } from './service.ts'
import type { Verdict } from './verdict.ts'

/** A timeout during which this process itself stood still for longer than this says nothing of the endpoint, in milliseconds. */
const STALL_EXCUSES_MS = 50
/** Of an endpoint's load reports one in this time is read, in milliseconds: servers may send one with every answer, as long as they like. */
const REPORT_EVERY_MS = 100

/** One try of a call at one endpoint, from the pick until the last byte. Made by `Service.attempt`. */
export class Attempt {
  readonly call: Call
  readonly route: Route
  readonly endpoint: Endpoint
  /** From 1; the first attempt counts. */
  readonly number: number
  /** It was sent beside others of its call that had no answer yet. */
  readonly hedge: boolean
  /** Monotonic milliseconds. */
  readonly startedAt: number
  /** From the start to the answer's head or the failure, less the time this process was stalled, in milliseconds; -1 before. */
  elapsedMs = -1
  /** The answer's HTTP status, set by the door; 0 for none. */
  status = 0
  /** The gRPC status code that it ended with, set by the door; -1 when nobody said one. */
  code = -1
  /** The endpoint's gate gave a permit; false under panic, when it was not asked. */
  readonly #admitted: boolean
  readonly #service: Service
  readonly #stalledMs: number
  #learnt: Verdict | undefined
  #ended = false

  constructor(
    service: Service,
    call: Call,
    route: Route,
    endpoint: Endpoint,
    number: number,
    now: number,
    admitted: boolean,
    hedge: boolean,
  ) {
    this.call = call
    this.route = route
    this.endpoint = endpoint
    this.number = number
    this.hedge = hedge
    this.startedAt = now
    this.#service = service
    this.#admitted = admitted
    this.#stalledMs = service.stalls.total(now)
    endpoint.inFlight++
    endpoint.meter.start(now)
    service.observer.attemptStarted(this, route)
  }

  /** The answer's head is there: balancer and breaker learn now. At most once; not needed before `end`. */
  answered(verdict: Verdict): void {
    if (this.#learnt !== undefined) return
    const now = this.#service.clock.now()
    this.#learn(now, verdict)
    this.#service.judged(this.endpoint, now)
  }

  /**
   * The attempt is over and gives back all that it held. A second call is ignored.
   *
   * @param now monotonic milliseconds, when the door has just read the clock
   */
  end(verdict: Verdict, now = this.#service.clock.now()): void {
    if (this.#ended) return
    this.#ended = true
    const { endpoint } = this
    if (this.#learnt === undefined) this.#learn(now, verdict)
    else if (this.#admitted && brokeOff(this.#learnt, verdict)) endpoint.gate.judge(now, this.#fair(now, verdict))
    endpoint.inFlight--
    endpoint.meter.end(now)
    if (this.#admitted) endpoint.gate.release(now)
    this.#service.inFlight--
    this.#service.observer.attemptEnded(this, this.route, verdict, now - this.startedAt)
    // last, since calls that wait may go on from here
    this.#service.judged(endpoint, now)
  }

  /**
   * The answer carries a load report: the balancer learns how busy the server is. What can't be read is ignored, and so is a report of 0, which
   * says nothing (gRFC A58).
   *
   * @param report the header's or the trailer's value; to be called only when there is one
   */
  loadReported(report: unknown): void {
    const { endpoint } = this
    const { meter } = endpoint
    if (meter.report === undefined) return
    const now = this.#service.clock.now()
    if (now - endpoint.reportedAt < REPORT_EVERY_MS) return
    endpoint.reportedAt = now
    const read = readLoadReport(report)
    const utilization = read === undefined ? 0 : utilizationOf(read)
    if (utilization > 0) meter.report(now, utilization)
  }

  /** How long this process stood still since the attempt began, in milliseconds. */
  stalledMs(now: number): number {
    return this.#service.stalls.total(now) - this.#stalledMs
  }

  #learn(now: number, verdict: Verdict): void {
    this.#learnt = verdict
    const fair = this.#fair(now, verdict)
    this.elapsedMs = Math.max(0, now - this.startedAt - this.stalledMs(now))
    this.endpoint.meter.sample(now, this.elapsedMs, fair)
    if (this.#admitted) this.endpoint.gate.judge(now, fair)
  }

  #fair(now: number, verdict: Verdict): Verdict {
    return verdict.outcome === 'failure' && isTimeout(verdict) && this.stalledMs(now) > STALL_EXCUSES_MS ? EXCUSED : verdict
  }
}

/** A timeout that was our own fault. */
const EXCUSED: Verdict = Object.freeze({ outcome: 'ignored', resend: 'idempotent', reason: 'try_timeout', retryAfterMs: 0 })

/** What began well ended badly: the one case in which a gate is told twice. */
function brokeOff(head: Verdict, end: Verdict): boolean {
  return head.outcome !== 'failure' && end.outcome === 'failure'
}

function isTimeout(verdict: Verdict): boolean {
  return TIMEOUTS.has(verdict.reason)
}

const TIMEOUTS: ReadonlySet<string> = new Set(['try_timeout', 'connect_timeout', 'answer_timeout', 'timeout'])
