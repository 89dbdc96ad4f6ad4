import type { Attempt } from '../../src/core/attempt.ts'
import type { Balancer, BalancerFactory } from '../../src/core/balancer.ts'
import type { Call } from '../../src/core/call.ts'
import type { Address, Endpoint } from '../../src/core/endpoint.ts'
import { type Gate, type GateFactory, openGate } from '../../src/core/gate.ts'
import { noObserver, type Observer } from '../../src/core/observer.ts'
import { noRetry } from '../../src/core/retry-policy.ts'
import type { Route } from '../../src/core/route.ts'
import { Service } from '../../src/core/service.ts'
import { StallMeter } from '../../src/core/stall.ts'
import { UNAVAILABLE } from '../../src/core/verdict.ts'
import { emptyBudget } from '../../src/resilience/retry-budget.ts'
import { type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'

export interface SmallServiceOptions {
  readonly seed?: number
  /** Default: `turns`. */
  readonly balancer?: BalancerFactory
  /** Default: always open. */
  readonly gate?: GateFactory
  readonly observer?: Observer
}

/** A service on a virtual clock, with what a door needs to call it. */
export class SmallService {
  readonly clock: VirtualClock
  readonly stalls: StallMeter
  readonly service: Service
  readonly route: Route
  /** What the balancer was given, last to first. */
  readonly shown: string[][] = []

  constructor({ seed = 1, balancer = turns, gate = () => openGate, observer = noObserver }: SmallServiceOptions = {}) {
    const runtime = virtualRuntime(seed)
    this.clock = runtime.clock
    this.stalls = new StallMeter(this.clock)
    this.service = new Service({
      name: 'voting',
      runtime,
      balancer: (r) => this.#watched(balancer(r)),
      gate,
      budget: emptyBudget,
      stalls: this.stalls,
      observer,
    })
    this.route = { name: 'default', service: this.service, retry: noRetry, timeoutMs: 0, perTryTimeoutMs: 0 }
  }

  #watched(balancer: Balancer): Balancer {
    return {
      ...(balancer.meter === undefined ? {} : { meter: () => (balancer.meter as NonNullable<Balancer['meter']>)() }),
      update: (endpoints) => {
        this.shown.unshift(endpoints.map(({ name }) => name))
        balancer.update(endpoints)
      },
      pick: (call, now, avoid) => balancer.pick(call, now, avoid),
    }
  }

  /** Endpoints `a:80`, `b:80` for `a`, `b`. */
  update(...hosts: (string | Address)[]): void {
    this.service.update(hosts.map((host) => (typeof host === 'string' ? { host, port: 80 } : host)))
  }

  attempt(previous?: Endpoint): Attempt | undefined {
    return this.service.attempt(CALL, this.route, previous === undefined ? 1 : 2, previous)
  }

  endpoint(host: string): Endpoint {
    const found = this.service.endpoints.find(({ name }) => name === `${host}:80`)
    if (found === undefined) throw new Error(`${host} is not there`)
    return found
  }

  /** Fails attempts at every endpoint in the balancer's sight until the breaker of `host` is shut. */
  trip(host: string): void {
    const { gate } = this.endpoint(host)
    const now = this.clock.now()
    for (let i = 0; gate.shutUntil <= now && i < 100; i++) {
      if (!gate.acquire(now)) break
      gate.judge(now, UNAVAILABLE)
      gate.release(now)
    }
    this.service.judged(this.endpoint(host), now)
  }

  /** Timers that the service itself has: those of the stall meter do not count. */
  get timers(): number {
    this.stalls.stop()
    return this.clock.pending
  }
}

export const CALL: Call = { authority: 'voting', method: 'GET', path: '/', idempotent: true, header: () => undefined }

/** Takes them in turn. */
export function turns(): Balancer {
  let ready: readonly Endpoint[] = []
  let next = 0
  return {
    update(endpoints) {
      ready = endpoints
    },
    pick(_call, _now, avoid) {
      const endpoint = ready[next++ % ready.length]
      return endpoint === avoid && ready.length > 1 ? ready[next++ % ready.length] : endpoint
    },
  }
}

/** A gate that a test turns by hand, and what it was told. */
export class HandGate implements Gate {
  open = true
  shutUntil = 0
  permits = 0
  readonly told: string[] = []

  acquire(): boolean {
    this.told.push('acquire')
    if (this.open) this.permits++
    return this.open
  }

  judge(_now: number, { reason, outcome }: { reason: string; outcome: string }): void {
    this.told.push(`judge ${outcome} ${reason}`)
  }

  release(): void {
    this.told.push('release')
    this.permits--
  }
}
