import { readAddress } from './core/address.ts'
import type { Runtime } from './core/clock.ts'
import type { Update } from './core/discovery.ts'
import type { Address } from './core/endpoint.ts'
import { MeshError } from './core/errors.ts'
import type { HedgePolicy, HedgePolicyFactory } from './core/hedge-policy.ts'
import { withoutRequirement } from './core/identity-requirement.ts'
import type { Observer } from './core/observer.ts'
import { shown } from './core/options.ts'
import { noRetry, type RetryBudget, type RetryPolicy } from './core/retry-policy.ts'
import type { RouteTable } from './core/route.ts'
import { Service } from './core/service.ts'
import type { StallMeter } from './core/stall.ts'
import { durationOf, type RouteOptions } from './routing/route-options.ts'
import { type RoutePolicy, type RouteRule, routeTable } from './routing/route-table.ts'
import type { ServiceConfig } from './service-config.ts'

/** What all services of a mesh share. */
export interface Shared {
  readonly runtime: Runtime
  /** For discovery: its waits do not hold the process. */
  readonly background: Runtime
  readonly stalls: StallMeter
  readonly observer: Observer
  /** Whether this process has an identity, and so can ask others for theirs. Default: false. */
  readonly secured?: boolean
}

/** A service at work. */
export interface OpenService {
  readonly table: RouteTable
  readonly config: ServiceConfig
  /** Stops discovery and lets go of the endpoints. Idempotent. */
  stop(): void
}

/** Brings a service to life: its budget, its breakers and balancer, its routes; and lets discovery feed it. */
export function openService(name: string, config: ServiceConfig, shared: Shared): OpenService {
  const { runtime, background, stalls, observer, secured = false } = shared
  const budget = config.retryBudget(runtime)
  const service = new Service({
    name,
    runtime,
    stalls,
    observer,
    budget,
    balancer: config.balancer,
    gate: config.breaker,
    identities: secured ? config.mtls.identities : undefined,
    breaker: config.serviceBreaker?.(runtime),
  })
  const policy: RoutePolicy = {
    retry: config.retry(runtime, budget),
    hedge: config.hedge?.(runtime, budget),
    timeoutMs: config.timeoutMs,
    perTryTimeoutMs: config.perTryTimeoutMs,
  }
  const table = routeTable(
    service,
    policy,
    config.routes.map((route) => ({
      ...routeRule(route, policy, runtime, budget),
      hedge: routeHedge(route.hedge ?? config.hedge, runtime, budget),
    })),
  )
  const unwatch = watch(service, config, background)
  const stop = () => {
    unwatch()
    service.close()
  }
  return { table, config, stop }
}

/**
 * Lets discovery feed a service. Drivers are anybody's code and run in callbacks of their own, where an error would end the process: whatever
 * they do wrong is told as discovery's failure, and the last set stays.
 *
 * @returns the function that stops it, which throws nothing
 */
function watch(service: Service, config: ServiceConfig, runtime: Runtime): () => void {
  let stopped = false
  const failed = (what: string, cause?: unknown) => service.discoveryFailed(discoveryError(service.name, what, cause))
  const threw = (what: string, error: unknown) =>
    failed(`${what}: ${error instanceof Error ? error.message : shown(error)}`, error)
  const guarded = (what: string, act: () => void) => {
    try {
      act()
    } catch (error) {
      threw(what, error)
    }
  }
  let unwatch: unknown
  guarded('watch failed', () => {
    // begun by the first call, for all
    withoutRequirement(() => {
      unwatch = config.discovery(runtime).watch(service.name, (update: unknown) => {
        if (!stopped) guarded('update failed', () => take(service, update, failed))
      })
    })
    // one that is async by mistake breaks its promise where nobody would see it
    if (unwatch instanceof Promise) unwatch.catch((error) => threw('watch failed', error))
  })
  return () => {
    stopped = true
    guarded('stop failed', () => {
      if (typeof unwatch === 'function') unwatch()
    })
  }
}

function take(service: Service, update: unknown, failed: (what: string) => void): void {
  const read = readUpdate(update)
  if (typeof read === 'string') failed(read)
  else if ('error' in read) service.discoveryFailed(read.error)
  else service.update(read.addresses)
}

/** @returns what was expected and what was got, when it is none */
function readUpdate(update: unknown): Update | string {
  if (typeof update !== 'object' || update === null) return `expected { addresses } or { error }, got ${shown(update)}`
  const { addresses, error } = update as { addresses?: unknown; error?: unknown }
  if (error !== undefined) {
    // from another realm it is no instance of Error
    const isError = typeof (error as Error | null)?.message === 'string'
    return isError ? { error: error as Error } : `error: expected an Error, got ${shown(error)}`
  }
  return Array.isArray(addresses) ? readAddresses(addresses) : `addresses: expected an array, got ${shown(addresses)}`
}

/** The first problem is enough: a driver that gets one wrong gets them all wrong. */
function readAddresses(given: readonly unknown[]): Update | string {
  const problems: string[] = []
  const addresses: Address[] = []
  for (const [i, value] of given.entries()) {
    if (typeof value === 'string') return `addresses[${i}]: expected { host, port }, got ${shown(value)}`
    const address = readAddress(`addresses[${i}]`, value, problems)
    if (address === undefined) return problems.join('; ')
    addresses.push(address)
  }
  return { addresses }
}

function discoveryError(service: string, what: string, cause: unknown): MeshError {
  return MeshError.refusal('INMESH_DISCOVERY', `${service}: discovery: ${what}`, { service, cause })
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

/** Each route has one of its own, as it measures the route's answers. */
function routeHedge(
  hedge: HedgePolicyFactory | 'off' | undefined,
  runtime: Runtime,
  budget: RetryBudget,
): HedgePolicy | undefined {
  return hedge === 'off' ? undefined : hedge?.(runtime, budget)
}

function millis(duration: string | undefined): number | undefined {
  return duration === undefined ? undefined : durationOf(duration)
}
