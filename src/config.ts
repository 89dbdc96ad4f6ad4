import { slowStart } from './balancer/around/slow-start.ts'
import { zones } from './balancer/around/zones.ts'
import { peakEwma } from './balancer/load/peak-ewma.ts'
import { p2c } from './balancer/p2c.ts'
import { parseAuthority } from './core/address.ts'
import type { BalancerFactory } from './core/balancer.ts'
import type { DiscoveryFactory } from './core/discovery.ts'
import { MeshError } from './core/errors.ts'
import { type GateFactory, openGate } from './core/gate.ts'
import type { HedgePolicyFactory } from './core/hedge-policy.ts'
import { anything, aString, durationMs, type OptionCheck, optionProblems, positiveMs, shown } from './core/options.ts'
import { noRetry, type RetryBudgetFactory, type RetryPolicyFactory } from './core/retry-policy.ts'
import type { ServiceBreakerFactory } from './core/service-breaker.ts'
import { dns } from './discovery/dns.ts'
import { first } from './discovery/first.ts'
import { local } from './discovery/local.ts'
import { consecutiveFailures } from './resilience/consecutive-failures.ts'
import { retry } from './resilience/retry.ts'
import { retryBudget } from './resilience/retry-budget.ts'
import { type RouteOptions, routeProblems } from './routing/route-options.ts'
import type { DrainOptions } from './server/drain.ts'
import type { ReceptionOptions } from './server/reception.ts'
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
  /** Calls that are to be treated otherwise, by the Gateway API's matches. Default: none. */
  readonly routes?: readonly RouteOptions[]
}

/** How a mesh is made. */
export interface MeshOptions {
  /** This process's own service, by which callers are told apart. Default: `INMESH_SERVICE`, else empty. */
  readonly name?: string
  /** This process's failure domain, as discovery names zones; calls stay in it while enough of it is well (`zones`). Default: `INMESH_ZONE`, else none. */
  readonly zone?: string
  /** By the host of their URLs, `voting`, or with a port for that port alone, `voting:8080`. */
  readonly services?: Readonly<Record<string, ServiceOptions>>
  /** For every service, where it does not say otherwise. */
  readonly defaults?: ServiceOptions
  /** Whether plain host names of one label that were not configured are looked up in the environment. Default: true. */
  readonly implicitServices?: boolean
  /** How requests to this process are received: who may ask for what, limits, deadlines, trusted proxies. Default: nothing is refused. */
  readonly inbound?: Partial<ReceptionOptions>
  /** How `mesh.drain()` takes its leave. Default: 1 s of notice, 25 s of grace in all. */
  readonly drain?: Partial<DrainOptions>
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
  readonly routes: readonly RouteOptions[]
}

/** A mesh's options, complete. */
export interface MeshConfig {
  readonly name: string
  readonly zone: string | undefined
  readonly implicitServices: boolean
  readonly inbound: Partial<ReceptionOptions> | undefined
  readonly drain: Partial<DrainOptions> | undefined
  readonly services: ReadonlyMap<string, ServiceConfig>
  /** For services that were not configured. */
  readonly defaults: ServiceConfig
}

/**
 * Checks a mesh's options and fills in every default.
 *
 * @throws MeshError INMESH_CONFIG with all problems at once, a line each: the option's path, what was expected, what was got
 */
export function readConfig(options: MeshOptions): MeshConfig {
  const problems = optionProblems('mesh', options, MESH_CHECKS).map((p) => p.replace(/^mesh\./, ''))
  const given: MeshOptions = isObject(options) ? options : {}
  const zone = given.zone ?? (process.env.INMESH_ZONE || undefined)
  const around = aroundBalancer(aString(zone) === undefined ? zone : undefined)
  const defaults = readService('defaults', given.defaults, builtIn(around), around, problems)
  const services = new Map<string, ServiceConfig>()
  for (const [name, service] of Object.entries(isObject(given.services) ? given.services : {})) {
    if (!isServiceKey(name))
      problems.push(`services.${name}: expected a host in lower case, with or without a port, got ${shown(name)}`)
    services.set(name, readService(`services.${name}`, service, defaults, around, problems))
  }
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return {
    name: given.name ?? process.env.INMESH_SERVICE ?? '',
    zone,
    implicitServices: given.implicitServices ?? true,
    inbound: given.inbound,
    drain: given.drain,
    services,
    defaults,
  }
}

type AroundBalancer = (inner: BalancerFactory) => BalancerFactory

/** What a balancer gets that nobody put together by hand. */
function aroundBalancer(zone: string | undefined): AroundBalancer {
  return (inner) => (zone === undefined ? slowStart({}, inner) : zones({ zone }, slowStart({}, inner)))
}

/** Every default, in one place. */
function builtIn(around: AroundBalancer): ServiceConfig {
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
    routes: [],
  }
}

function readService(
  path: string,
  options: ServiceOptions | undefined,
  defaults: ServiceConfig,
  around: AroundBalancer,
  problems: string[],
): ServiceConfig {
  problems.push(...serviceProblems(path, options))
  const given: ServiceOptions = isObject(options) ? options : {}
  const named = <R extends StrategyRole>(role: R, off?: ServiceConfig[R]): ServiceConfig[R] | undefined =>
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
    routes: given.routes ?? defaults.routes,
  }
}

/** @returns undefined when it was not given, or is wrong, which is added to the problems */
function readStrategy<T>(
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
  if (options.tls !== undefined) problems.push(...tlsProblems(`${path}.tls`, options.tls))
  if (options.routes === undefined) return problems
  problems.push(...routeProblems(`${path}.routes`, options.routes))
  for (const [i, route] of (Array.isArray(options.routes) ? options.routes : []).entries()) {
    for (const role of ['retry', 'hedge'] as const)
      if (typeof route?.[role] === 'function')
        readStrategy(`${path}.routes[${i}].${role}`, role, route[role], undefined, problems)
  }
  return problems
}

function tlsProblems(path: string, tls: unknown): string[] {
  const problems = optionProblems(path, tls, { ca: aPem, cert: aPem, key: aPem, servername: aString })
  const { cert, key } = (tls ?? {}) as TlsOptions
  if (cert !== undefined && key === undefined) problems.push(`${path}.key: missing, as there is a cert`)
  if (key !== undefined && cert === undefined) problems.push(`${path}.cert: missing, as there is a key`)
  return problems
}

/** As the host of a URL reads: lower case, IPv6 in brackets and in its canonical form. */
function isServiceKey(name: string): boolean {
  const authority = parseAuthority(name)
  if (authority === undefined) return false
  const { host, port } = authority
  return name === (host.includes(':') ? `[${host}]` : host) + (port === undefined ? '' : `:${port}`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const aStrategy: OptionCheck = (v) =>
  typeof v === 'function' || typeof v === 'string' || isObject(v) ? undefined : 'a strategy, the name of one, or "off"'
const neverOff: OptionCheck = (v) => (v !== 'off' && aStrategy(v) === undefined ? undefined : 'a strategy, or the name of one')
const anObject: OptionCheck = (v) => (isObject(v) ? undefined : 'an object')

const MESH_CHECKS: Readonly<Record<keyof MeshOptions, OptionCheck>> = {
  name: aString,
  zone: aString,
  services: anObject,
  // its problems are told with those of the services
  defaults: anything,
  implicitServices: (v) => (typeof v === 'boolean' ? undefined : 'true or false'),
  // checked by those who read them
  inbound: anything,
  drain: anything,
}

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
  routes: anything,
}

function aPem(v: unknown): string | undefined {
  const texts = Array.isArray(v) ? v : [v]
  return texts.every((t) => typeof t === 'string' && t.includes('-----BEGIN ')) ? undefined : 'a text in PEM'
}
