import { roundRobin } from '../../src/balancer/round-robin.ts'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Call } from '../../src/core/call.ts'
import type { Address } from '../../src/core/endpoint.ts'
import type { Gate } from '../../src/core/gate.ts'
import { noRetry } from '../../src/core/retry-policy.ts'
import type { Route } from '../../src/core/route.ts'
import { Service } from '../../src/core/service.ts'
import { StallMeter } from '../../src/core/stall.ts'
import { OK, type Verdict } from '../../src/core/verdict.ts'
import { GoldenMetrics, type GoldenMetricsOptions } from '../../src/telemetry/golden-metrics.ts'
import { type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'

/** What one attempt of a made-up call does. */
export interface Step {
  readonly verdict?: Verdict
  readonly status?: number
  readonly headMs?: number
  readonly bodyMs?: number
}

/** A gate that a test opens and shuts. */
export type HandGate = Gate & { shutUntil: number }

/** Real services on a clock that is turned by hand, watched by golden metrics. */
export class SmallMesh {
  readonly #runtime = virtualRuntime()
  readonly clock: VirtualClock = this.#runtime.clock
  readonly metrics: GoldenMetrics
  readonly gates: HandGate[] = []

  constructor(options?: Partial<GoldenMetricsOptions>) {
    this.metrics = new GoldenMetrics(this.clock, options)
  }

  service(name: string, hosts: readonly (string | Address)[] = ['10.0.0.1', '10.0.0.2']): Service {
    const service = new Service({
      name,
      runtime: this.#runtime,
      balancer: roundRobin(),
      gate: () => this.#gate(),
      budget: { deposit() {}, withdraw: () => true, balance: 42 },
      stalls: new StallMeter(this.clock),
      observer: this.metrics,
    })
    service.update(hosts.map(address))
    return service
  }

  route(service: Service, name = 'default'): Route {
    return { name, service, retry: noRetry, timeoutMs: 0, perTryTimeoutMs: 0 }
  }

  /** One call, whole; as many attempts as steps. */
  run(route: Route, steps: readonly Step[], call: Call = aCall(route)): void {
    const startedAt = this.clock.now()
    this.metrics.callStarted(call, route)
    let last: Step | undefined
    steps.forEach((step, i) => {
      const attempt = this.start(route, call, i + 1)
      this.finish(attempt, step)
      last = step
    })
    const elapsedMs = this.clock.now() - startedAt
    this.metrics.callEnded(call, route, last?.verdict ?? OK, elapsedMs, steps.length, last?.status ?? 0)
  }

  start(route: Route, call: Call = aCall(route), number = 1): Attempt {
    const attempt = route.service.attempt(call, route, number)
    if (attempt === undefined) throw new Error('no endpoint would take the attempt')
    return attempt
  }

  finish(attempt: Attempt, { verdict = OK, status = 0, headMs = 0, bodyMs = 0 }: Step = {}): void {
    attempt.status = status
    this.clock.advance(headMs)
    attempt.answered(verdict)
    this.clock.advance(bodyMs)
    attempt.end(verdict)
  }

  /** Shuts gates by hand and has their service look at them, which it does when its set of endpoints changes. */
  shut(service: Service, gates: readonly HandGate[]): void {
    for (const gate of gates) gate.shutUntil = this.clock.now() + 60_000
    const addresses = [...service.endpoints].map((endpoint) => endpoint.address)
    service.update([...addresses, address('10.9.9.9')])
    service.update(addresses)
  }

  #gate(): HandGate {
    const gate: HandGate = { acquire: () => true, judge() {}, release() {}, shutUntil: 0 }
    this.gates.push(gate)
    return gate
  }
}

export function aCall(route: Route, method = 'GET', authority: string = route.service.name): Call {
  return { authority, method, path: '/', idempotent: true, header: () => undefined }
}

export function address(host: string | Address): Address {
  return typeof host === 'string' ? { host, port: 8080 } : host
}
