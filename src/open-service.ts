import type { ServiceConfig } from './config.ts'
import type { Runtime } from './core/clock.ts'
import type { Observer } from './core/observer.ts'
import { noRetry, type RetryBudget, type RetryPolicy } from './core/retry-policy.ts'
import type { RouteTable } from './core/route.ts'
import { Service } from './core/service.ts'
import type { StallMeter } from './core/stall.ts'
import { durationOf, type RouteOptions } from './routing/route-options.ts'
import { type RoutePolicy, type RouteRule, routeTable } from './routing/route-table.ts'

/** What all services of a mesh share. */
export interface Shared {
  readonly runtime: Runtime
  /** For discovery: its waits do not hold the process. */
  readonly background: Runtime
  readonly stalls: StallMeter
  readonly observer: Observer
}

/** A service at work. */
export interface OpenService {
  readonly table: RouteTable
  readonly config: ServiceConfig
  /** Stops discovery and lets go of the endpoints. Idempotent. */
  stop(): void
}

/** Brings a service to life: its budget, its breakers and balancer, its routes; and lets discovery feed it. */
export function openService(name: string, config: ServiceConfig, { runtime, background, stalls, observer }: Shared): OpenService {
  const budget = config.retryBudget(runtime)
  const service = new Service({
    name,
    runtime,
    stalls,
    observer,
    budget,
    balancer: config.balancer,
    gate: config.breaker,
    breaker: config.serviceBreaker?.(runtime),
  })
  const policy: RoutePolicy = {
    retry: config.retry(runtime, budget),
    timeoutMs: config.timeoutMs,
    perTryTimeoutMs: config.perTryTimeoutMs,
  }
  const table = routeTable(
    service,
    policy,
    config.routes.map((route) => routeRule(route, policy, runtime, budget)),
  )
  const unwatch = config.discovery(background).watch(name, (update) => {
    if ('error' in update) service.discoveryFailed(update.error)
    else service.update(update.addresses)
  })
  const stop = () => {
    unwatch()
    service.close()
  }
  return { table, config, stop }
}

function routeRule(
  { name, matches = [], timeouts, retry }: RouteOptions,
  policy: RoutePolicy,
  runtime: Runtime,
  budget: RetryBudget,
): RouteRule {
  return {
    name,
    matches,
    retry: routeRetry(retry, policy, runtime, budget),
    timeoutMs: millis(timeouts?.request) ?? policy.timeoutMs,
    perTryTimeoutMs: millis(timeouts?.backendRequest) ?? policy.perTryTimeoutMs,
  }
}

function routeRetry(retry: RouteOptions['retry'], policy: RoutePolicy, runtime: Runtime, budget: RetryBudget): RetryPolicy {
  if (retry === undefined) return policy.retry
  return retry === 'off' ? noRetry : retry(runtime, budget)
}

function millis(duration: string | undefined): number | undefined {
  return duration === undefined ? undefined : durationOf(duration)
}
