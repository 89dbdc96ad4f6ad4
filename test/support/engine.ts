import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { Agent } from 'undici'
import type { Balancer, BalancerFactory } from '../../src/core/balancer.ts'
import { type Clock, type Runtime, systemClock, systemRandom } from '../../src/core/clock.ts'
import type { Address, Endpoint } from '../../src/core/endpoint.ts'
import { type GateFactory, openGate } from '../../src/core/gate.ts'
import type { HedgePolicyFactory } from '../../src/core/hedge-policy.ts'
import { type Observer, observers } from '../../src/core/observer.ts'
import type { RetryBudget, RetryBudgetFactory, RetryPolicyFactory } from '../../src/core/retry-policy.ts'
import type { RouteTable } from '../../src/core/route.ts'
import { Service } from '../../src/core/service.ts'
import type { ServiceBreakerFactory } from '../../src/core/service-breaker.ts'
import { StallMeter } from '../../src/core/stall.ts'
import { MeshDispatcher } from '../../src/intercept/undici/dispatcher.ts'
import { retry } from '../../src/resilience/retry.ts'
import { infiniteBudget } from '../../src/resilience/retry-budget.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { routeTable } from '../../src/routing/route-table.ts'
import { router } from '../../src/routing/router.ts'
import type { TlsOptions } from '../../src/transport/connector.ts'
import type { MeshTls } from '../../src/transport/mesh-tls.ts'
import { CallWatch } from './call-watch.ts'
import { cleanup } from './servers.ts'

export interface EngineOptions {
  /** A number is a port of 127.0.0.1. */
  readonly addresses: readonly (number | { readonly port: number } | Address)[]
  /** Default: `retry()` without a wait. */
  readonly retry?: RetryPolicyFactory
  /** Default: off. */
  readonly hedge?: HedgePolicyFactory
  /** Default: pays for everything. */
  readonly budget?: RetryBudgetFactory
  readonly timeoutMs?: number
  /** This process's own service. */
  readonly name?: string
  readonly perTryTimeoutMs?: number
  readonly connectTimeoutMs?: number
  readonly protocol?: 'http' | 'h2c'
  readonly tls?: TlsOptions
  /** How the mesh secures what is called in the clear. Default: not at all. */
  readonly identity?: MeshTls
  /** The service's own. */
  readonly breaker?: ServiceBreakerFactory
  /** The endpoints'. Default: none. */
  readonly gate?: GateFactory
  /** Default: `inOrder`. */
  readonly balancer?: BalancerFactory
  readonly observer?: Observer
  /** Default: the machine's. */
  readonly clock?: Clock
}

/** The engine and its undici door, without the mesh around them. */
export interface Engine {
  readonly dispatcher: MeshDispatcher
  readonly service: Service
  readonly watch: CallWatch
  readonly budget: RetryBudget
  /** Origins of calls that were not ours. */
  readonly egress: string[]
  /** Replaces the set of endpoints. */
  update(addresses: EngineOptions['addresses']): void
  /** Lets go of everything, and fails if anything was left over. Runs by itself at the end of the test. */
  close(): Promise<void>
}

/** A service `voting` behind a dispatcher, over real sockets; closed with the test, which fails when something is left in flight. */
export function engine(t: TestContext, options: EngineOptions): Engine {
  const clock = options.clock ?? systemClock
  const runtime: Runtime = { clock, random: systemRandom, retryLoop: retryLoop(clock) }
  const budget = (options.budget ?? (() => infiniteBudget))(runtime)
  const watch = new CallWatch()
  const stalls = new StallMeter(clock)
  const service = new Service({
    name: 'voting',
    runtime,
    balancer: options.balancer ?? inOrder,
    gate: options.gate ?? (() => openGate),
    budget,
    stalls,
    observer: observers(options.observer === undefined ? [watch] : [watch, options.observer]),
    breaker: options.breaker?.(runtime),
  })
  const update = (addresses: EngineOptions['addresses']): void => service.update(addresses.map(addressOf))
  if (options.addresses.length > 0) update(options.addresses)
  const table = routeTable(service, {
    retry: (options.retry ?? AT_ONCE)(runtime, budget),
    hedge: options.hedge?.(runtime, budget),
    timeoutMs: options.timeoutMs ?? 0,
    perTryTimeoutMs: options.perTryTimeoutMs ?? 0,
  })
  const egress: string[] = []
  const outside = new Agent()
  const dispatcher = new MeshDispatcher({
    name: options.name ?? '',
    runtime,
    router: router({ configured: new Set(['voting']), implicit: () => false, make: () => table as RouteTable }),
    connection: () => ({
      connectTimeoutMs: options.connectTimeoutMs ?? 1_000,
      h2c: options.protocol === 'h2c',
      allowH2: true,
      tls: options.tls,
      identity: options.identity,
    }),
    outside,
    egress: (origin) => void egress.push(origin),
  })
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await dispatcher.close()
      await outside.close()
      const { endpoints } = service
      service.close()
      stalls.stop()
      watch.assertDone()
      assert.equal(service.inFlight, 0, 'attempts in flight')
      for (const endpoint of endpoints) assert.equal(endpoint.inFlight, 0, `attempts in flight on ${endpoint.name}`)
    })()
    return closing
  }
  cleanup(t, close)
  return { dispatcher, service, watch, budget, egress, update, close }
}

/** `retry()` that does not wait. */
export const AT_ONCE: RetryPolicyFactory = retry({ backoff: () => () => 0 })

/** Always the first endpoint that is not to be avoided: first attempts go to the first address, resends to the second. */
export function inOrder(): Balancer {
  let ready: readonly Endpoint[] = []
  return {
    update(endpoints) {
      ready = endpoints
    },
    pick(_call, _now, avoid) {
      return ready[0] === avoid && ready.length > 1 ? ready[1] : ready[0]
    },
  }
}

function addressOf(address: number | { readonly port: number } | Address): Address {
  if (typeof address === 'number') return { host: '127.0.0.1', port: address }
  return 'host' in address ? address : { host: '127.0.0.1', port: address.port }
}

/** Waits, one turn of the loop at a time, for something that is bound to happen. */
export async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await new Promise<void>((resolve) => setImmediate(resolve))
}

/** A port that nobody listens on. */
export const REFUSED_PORT = 1
