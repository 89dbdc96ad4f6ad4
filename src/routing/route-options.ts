import { anything, aString, type OptionCheck, optionProblems, shown } from '../core/options.ts'
import type { RetryPolicyFactory } from '../core/retry-policy.ts'
import type { RouteMatch } from './match.ts'

/** A rule of an HTTPRoute in the Gateway API's shape: for the calls it matches, other timeouts and retries than the service's. */
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
  if (route.matches !== undefined) problems.push(...eachOf(`${path}.matches`, route.matches, oneMatch))
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

function oneMatch(path: string, match: unknown): string[] {
  const problems = optionProblems(path, match, MATCH_CHECKS)
  if (!isObject(match)) return problems
  if (match.path !== undefined) problems.push(...pathProblems(`${path}.path`, match.path))
  if (match.headers !== undefined) problems.push(...eachOf(`${path}.headers`, match.headers, oneString))
  if (match.queryParams !== undefined) problems.push(...eachOf(`${path}.queryParams`, match.queryParams, oneString))
  return problems
}

function pathProblems(path: string, value: unknown): string[] {
  const problems = optionProblems(path, value, { type: oneOf('Exact', 'PathPrefix', 'RegularExpression'), value: aString })
  if (problems.length > 0 || !isObject(value)) return problems
  if (value.value === undefined) return [`${path}.value: missing`]
  if (value.type === 'RegularExpression') return patternProblems(`${path}.value`, value.value as string)
  return (value.value as string).startsWith('/')
    ? []
    : [`${path}.value: expected a path that begins with /, got ${shown(value.value)}`]
}

function oneString(path: string, value: unknown): string[] {
  const problems = optionProblems(path, value, { type: oneOf('Exact', 'RegularExpression'), name: aString, value: aText })
  if (problems.length > 0 || !isObject(value)) return problems
  const missing = ['name', 'value'].filter((key) => value[key] === undefined).map((key) => `${path}.${key}: missing`)
  if (missing.length > 0 || value.type !== 'RegularExpression') return missing
  return patternProblems(`${path}.value`, value.value as string)
}

function patternProblems(path: string, pattern: string): string[] {
  try {
    new RegExp(pattern)
    return []
  } catch {
    return [`${path}: expected a regular expression, got ${shown(pattern)}`]
  }
}

function eachOf(path: string, list: unknown, problems: (path: string, value: unknown) => string[]): string[] {
  if (!Array.isArray(list)) return [`${path}: expected a list, got ${shown(list)}`]
  return list.flatMap((value, i) => problems(`${path}[${i}]`, value))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function oneOf(...values: string[]): OptionCheck {
  return (v) => (values.includes(v as string) ? undefined : values.join(' or '))
}

const aText: OptionCheck = (v) => (typeof v === 'string' ? undefined : 'a string')
const aDuration: OptionCheck = (v) =>
  typeof v === 'string' && durationOf(v) !== undefined ? undefined : 'a duration like "500ms" or "1m30s"'
const aName: OptionCheck = (v) => (typeof v === 'string' && v !== '' && v !== 'default' ? undefined : 'a name other than default')

const ROUTE_CHECKS: Readonly<Record<keyof RouteOptions, OptionCheck>> = {
  name: aName,
  matches: anything,
  timeouts: anything,
  retry: (v) => (v === 'off' || typeof v === 'function' ? undefined : 'a retry policy or "off"'),
}

const MATCH_CHECKS: Readonly<Record<keyof RouteMatch, OptionCheck>> = {
  path: anything,
  method: (v) => (typeof v === 'string' && /^[A-Z]+$/.test(v) ? undefined : 'a method in upper case'),
  headers: anything,
  queryParams: anything,
}
