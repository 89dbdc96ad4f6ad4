import { slowStart } from './balancer/around/slow-start.ts'
import { zones } from './balancer/around/zones.ts'
import { peakEwma } from './balancer/load/peak-ewma.ts'
import { p2c } from './balancer/p2c.ts'
import type { BalancerFactory } from './core/balancer.ts'
import type { DiscoveryFactory } from './core/discovery.ts'
import { MeshError } from './core/errors.ts'
import { type GateFactory, openGate } from './core/gate.ts'
import type { HedgePolicyFactory } from './core/hedge-policy.ts'
import { anything, durationMs, type OptionCheck, optionProblems, positiveMs } from './core/options.ts'
import { noRetry, type RetryBudgetFactory, type RetryPolicyFactory } from './core/retry-policy.ts'
import type { ServiceBreakerFactory } from './core/service-breaker.ts'
import { dns } from './discovery/dns.ts'
import { first } from './discovery/first.ts'
import { local } from './discovery/local.ts'
import {
  readServiceMtls,
  type ServiceMtlsConfig,
  type ServiceMtlsOptions,
  serviceMtlsProblems,
  tlsProblems,
} from './mtls-options.ts'
import { consecutiveFailures } from './resilience/consecutive-failures.ts'
import { retry } from './resilience/retry.ts'
import { retryBudget } from './resilience/retry-budget.ts'
import { type RouteOptions, routeProblems } from './routing/route-options.ts'
import { type StrategyRole, strategyGiven, strategyNamed } from './strategies.ts'
import type { TlsOptions } from './transport/connector.ts'

/** A strategy by the name of its file, with options if any: `p2c`, `{ "ring-hash": { "key": { "header": "x-user" } } }`. For configuration files. */
export type Named = string | Readonly<Record<string, unknown>>

/**
 * How calls to one service are made. Whatever is left out has the default of `MeshOptions.defaults`, else the one given here.
 *
 * A strategy that is given as a function is a factory, and is tried out once when the mesh is made: it should be cheap, make a new object each
 * time and start nothing; discovery starts with `watch`.
 */
export interface ServiceOptions {
  /** Where its addresses come from. Default: the machine's local registry, then DNS. */
  readonly discovery?: DiscoveryFactory | Named
  /**
   * Default: `p2c`, on failure-aware peak EWMA. The default, and any that is given by name, has a slow start of 10 s for endpoints that
   * join, and keeps to `MeshOptions.zone`; one that is given as a function is taken as it is.
   */
  readonly balancer?: BalancerFactory | Named
  /** The breaker of each endpoint. Default: `consecutiveFailures()`: 7 in a row, 1 s to 60 s. */
  readonly breaker?: GateFactory | Named | 'off'
  /** The breaker of the whole service. Default: off. */
  readonly serviceBreaker?: ServiceBreakerFactory | Named | 'off'
  /** Default: `retry()`: two attempts, idempotent calls only unless nothing was sent. */
  readonly retry?: RetryPolicyFactory | Named | 'off'
  /** Sends a call that waits for its answer to one more endpoint; idempotent calls only. Not for node:http. Default: off. */
  readonly hedge?: HedgePolicyFactory | Named | 'off'
  /** What resending and hedging may cost the service. Default: `retryBudget()`: 20 % of calls and 10 a second, over 10 s. */
  readonly retryBudget?: RetryBudgetFactory | Named
  /** From the call to the end of its answer, in milliseconds. Default: 0, no limit. */
  readonly timeoutMs?: number
  /** From an attempt's start to the head of its answer, in milliseconds. Default: 0, no limit. */
  readonly perTryTimeoutMs?: number
  /** How long a connection may take to come about, in milliseconds. Default: 1000. */
  readonly connectTimeoutMs?: number
  /** `h2c` speaks HTTP/2 without TLS at once. Default: `http`, that is HTTP/1.1, or what TLS negotiates. */
  readonly protocol?: 'http' | 'h2c'
  /** PEM texts for `https:` calls. Default: what Node trusts. */
  readonly tls?: TlsOptions
  /** Whom its endpoints must prove to be. Default: whom discovery names. */
  readonly mtls?: ServiceMtlsOptions
  /** Calls that are to be treated otherwise, by the Gateway API's matches. Default: none. */
  readonly routes?: readonly RouteOptions[]
}

/** A service's options, complete, with every name resolved. */
export interface ServiceConfig {
  readonly discovery: DiscoveryFactory
  readonly balancer: BalancerFactory
  readonly breaker: GateFactory
  readonly serviceBreaker: ServiceBreakerFactory | undefined
  readonly retry: RetryPolicyFactory
  readonly hedge: HedgePolicyFactory | undefined
  readonly retryBudget: RetryBudgetFactory
  readonly timeoutMs: number
  readonly perTryTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly protocol: 'http' | 'h2c'
  readonly tls: TlsOptions | undefined
  readonly mtls: ServiceMtlsConfig
  readonly routes: readonly RouteOptions[]
}

export type AroundBalancer = (inner: BalancerFactory) => BalancerFactory

/** What a balancer gets that nobody put together by hand. */
export function aroundBalancer(zone: string | undefined): AroundBalancer {
  return (inner) => (zone === undefined ? slowStart({}, inner) : zones({ zone }, slowStart({}, inner)))
}

/** Every default, in one place. */
export function builtIn(around: AroundBalancer): ServiceConfig {
  return {
    discovery: first([local(), dns()]),
    balancer: around(p2c({ load: peakEwma() })),
    breaker: consecutiveFailures(),
    serviceBreaker: undefined,
    retry: retry(),
    hedge: undefined,
    retryBudget: retryBudget(),
    timeoutMs: 0,
    perTryTimeoutMs: 0,
    connectTimeoutMs: 1_000,
    protocol: 'http',
    tls: undefined,
    mtls: { strict: false, identities: [] },
    routes: [],
  }
}

export function readService(
  path: string,
  options: ServiceOptions | undefined,
  defaults: ServiceConfig,
  around: AroundBalancer,
  problems: string[],
): ServiceConfig {
  problems.push(...serviceProblems(path, options))
  const given: ServiceOptions = isObject(options) ? options : {}
  const named = <R extends Exclude<StrategyRole, 'identity'>>(role: R, off?: ServiceConfig[R]): ServiceConfig[R] | undefined =>
    readStrategy(`${path}.${role}`, role, given[role], off, problems)
  const balancer = named('balancer')
  return {
    discovery: named('discovery') ?? defaults.discovery,
    balancer: (typeof given.balancer === 'function' ? balancer : balancer && around(balancer)) ?? defaults.balancer,
    breaker: named('breaker', () => openGate) ?? defaults.breaker,
    serviceBreaker: given.serviceBreaker === 'off' ? undefined : (named('serviceBreaker') ?? defaults.serviceBreaker),
    retry: named('retry', () => noRetry) ?? defaults.retry,
    hedge: given.hedge === 'off' ? undefined : (named('hedge') ?? defaults.hedge),
    retryBudget: named('retryBudget') ?? defaults.retryBudget,
    timeoutMs: given.timeoutMs ?? defaults.timeoutMs,
    perTryTimeoutMs: given.perTryTimeoutMs ?? defaults.perTryTimeoutMs,
    connectTimeoutMs: given.connectTimeoutMs ?? defaults.connectTimeoutMs,
    protocol: given.protocol ?? defaults.protocol,
    tls: given.tls ?? defaults.tls,
    mtls: readServiceMtls(given.mtls, defaults.mtls),
    routes: given.routes ?? defaults.routes,
  }
}

/** @returns undefined when it was not given, or is wrong, which is added to the problems */
export function readStrategy<T>(
  path: string,
  role: StrategyRole,
  value: unknown,
  off: T | undefined,
  problems: string[],
): T | undefined {
  if (value === 'off') return off
  try {
    if (typeof value === 'function') return strategyGiven(role, value, path) as T
    return typeof value === 'string' || isObject(value) ? (strategyNamed(role, value, path) as T) : undefined
  } catch (error) {
    problems.push(error instanceof MeshError ? error.message : `${path}: ${(error as Error).message}`)
    return undefined
  }
}

function serviceProblems(path: string, options: unknown): string[] {
  const problems = optionProblems(path, options, SERVICE_CHECKS)
  if (!isObject(options)) return problems
  problems.push(...tlsProblems(`${path}.tls`, options.tls), ...serviceMtlsProblems(`${path}.mtls`, options.mtls))
  if (options.routes === undefined) return problems
  problems.push(...routeProblems(`${path}.routes`, options.routes))
  for (const [i, route] of (Array.isArray(options.routes) ? options.routes : []).entries()) {
    for (const role of ['retry', 'hedge'] as const)
      if (typeof route?.[role] === 'function')
        readStrategy(`${path}.routes[${i}].${role}`, role, route[role], undefined, problems)
  }
  return problems
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export const aStrategy: OptionCheck = (v) =>
  typeof v === 'function' || typeof v === 'string' || isObject(v) ? undefined : 'a strategy, the name of one, or "off"'
const neverOff: OptionCheck = (v) => (v !== 'off' && aStrategy(v) === undefined ? undefined : 'a strategy, or the name of one')
const SERVICE_CHECKS: Readonly<Record<keyof ServiceOptions, OptionCheck>> = {
  discovery: neverOff,
  balancer: neverOff,
  breaker: aStrategy,
  serviceBreaker: aStrategy,
  retry: aStrategy,
  hedge: aStrategy,
  retryBudget: neverOff,
  timeoutMs: durationMs,
  perTryTimeoutMs: durationMs,
  connectTimeoutMs: positiveMs,
  protocol: (v) => (v === 'http' || v === 'h2c' ? undefined : 'http or h2c'),
  tls: anything,
  mtls: anything,
  routes: anything,
}
