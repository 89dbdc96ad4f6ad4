import type { HedgePolicyFactory } from '../core/hedge-policy.ts'
import { anything, type OptionCheck, optionProblems, shown } from '../core/options.ts'
import type { RetryPolicyFactory } from '../core/retry-policy.ts'
import type { RouteMatch } from '../core/route-match.ts'
import { eachOf, isObject, matchProblems } from './match-problems.ts'

/** A rule of an HTTPRoute or a GRPCRoute in the Gateway API's shape: for the calls it matches, other timeouts and retries than the service's. */
export interface RouteOptions {
  /** As the metrics name it. */
  readonly name: string
  /** Any of them; every call when left out. */
  readonly matches?: readonly RouteMatch[]
  /** Gateway API durations, such as `500ms` or `1m30s`; `0s` for no limit. */
  readonly timeouts?: {
    /** The whole call. */
    readonly request?: string
    /** One attempt. */
    readonly backendRequest?: string
  }
  readonly retry?: RetryPolicyFactory | 'off'
  readonly hedge?: HedgePolicyFactory | 'off'
}

/** Reads a Gateway API duration (GEP-2257): up to four of `5h`, `5m`, `5s`, `5ms`, without fractions; undefined when it is none. */
export function durationOf(text: string): number | undefined {
  if (!/^([0-9]{1,5}(h|m|s|ms)){1,4}$/.test(text)) return undefined
  let total = 0
  for (const [, digits, unit] of text.matchAll(/([0-9]+)(ms|h|m|s)/g)) total += Number(digits) * UNITS[unit as keyof typeof UNITS]
  return total <= 2_147_483_647 ? total : undefined
}

const UNITS = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }

/**
 * What is wrong with the routes of a service: a line each; empty when all is well.
 *
 * @param path where they stand, such as `services.voting.routes`
 */
export function routeProblems(path: string, value: unknown): string[] {
  const names = new Set<unknown>()
  return eachOf(path, value, (at, route) => {
    const problems = oneRoute(at, route)
    const name = isObject(route) ? route.name : undefined
    if (typeof name === 'string' && names.has(name))
      problems.push(`${at}.name: expected each name once, got ${shown(name)} again`)
    names.add(name)
    return problems
  })
}

function oneRoute(path: string, route: unknown): string[] {
  const problems = optionProblems(path, route, ROUTE_CHECKS)
  if (!isObject(route)) return problems
  if (route.name === undefined) problems.push(`${path}.name: missing`)
  if (route.matches !== undefined) problems.push(...eachOf(`${path}.matches`, route.matches, matchProblems))
  if (route.timeouts !== undefined) problems.push(...timeoutProblems(`${path}.timeouts`, route.timeouts))
  return problems
}

function timeoutProblems(path: string, timeouts: unknown): string[] {
  const problems = optionProblems(path, timeouts, { request: aDuration, backendRequest: aDuration })
  if (problems.length > 0) return problems
  const { request, backendRequest } = timeouts as NonNullable<RouteOptions['timeouts']>
  const whole = durationOf(request ?? '0s') ?? 0
  const one = durationOf(backendRequest ?? '0s') ?? 0
  if (whole === 0 || one <= whole) return []
  return [`${path}.backendRequest: expected at most the request's ${shown(request)}, got ${shown(backendRequest)}`]
}

const aDuration: OptionCheck = (v) =>
  typeof v === 'string' && durationOf(v) !== undefined ? undefined : 'a duration like "500ms" or "1m30s"'
const aName: OptionCheck = (v) => (typeof v === 'string' && v !== '' && v !== 'default' ? undefined : 'a name other than default')

const ROUTE_CHECKS: Readonly<Record<keyof RouteOptions, OptionCheck>> = {
  name: aName,
  matches: anything,
  timeouts: anything,
  retry: (v) => (v === 'off' || typeof v === 'function' ? undefined : 'a retry policy or "off"'),
  hedge: (v) => (v === 'off' || typeof v === 'function' ? undefined : 'a hedge policy or "off"'),
}
