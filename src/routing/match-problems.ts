import { anything, aString, type OptionCheck, optionProblems, shown } from '../core/options.ts'
import { linearPattern } from './linear-pattern.ts'

/**
 * What is wrong with a match of a route, HTTP's or gRPC's: a line each; empty when all is well.
 *
 * @param path where it stands, such as `services.voting.routes[0].matches[1]`
 */
export function matchProblems(path: string, match: unknown): string[] {
  const isGrpc = isObject(match) && isObject(match.method)
  const problems = optionProblems(path, match, isGrpc ? GRPC_CHECKS : HTTP_CHECKS)
  if (!isObject(match)) return problems
  if (match.headers !== undefined) problems.push(...eachOf(`${path}.headers`, match.headers, stringProblems))
  if (isGrpc) return [...problems, ...methodProblems(`${path}.method`, match.method as Record<string, unknown>)]
  if (match.path !== undefined) problems.push(...pathProblems(`${path}.path`, match.path))
  if (match.queryParams !== undefined) problems.push(...eachOf(`${path}.queryParams`, match.queryParams, stringProblems))
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

function methodProblems(path: string, value: Record<string, unknown>): string[] {
  const problems = optionProblems(path, value, { type: ONE_OF_TWO, service: aString, method: aString })
  if (problems.length > 0) return problems
  const { type, service, method } = value as { type?: string; service?: string; method?: string }
  if (service === undefined && method === undefined) return [`${path}: expected a service, a method or both, got neither`]
  if (type === 'RegularExpression')
    return [
      ...(service === undefined ? [] : patternProblems(`${path}.service`, service)),
      ...(method === undefined ? [] : patternProblems(`${path}.method`, method)),
    ]
  return optionProblems(path, { service, method }, { service: aServiceName, method: aMethodName })
}

function stringProblems(path: string, value: unknown): string[] {
  const problems = optionProblems(path, value, { type: ONE_OF_TWO, name: aString, value: aText })
  if (problems.length > 0 || !isObject(value)) return problems
  const missing = ['name', 'value'].filter((key) => value[key] === undefined).map((key) => `${path}.${key}: missing`)
  if (missing.length > 0 || value.type !== 'RegularExpression') return missing
  return patternProblems(`${path}.value`, value.value as string)
}

function patternProblems(path: string, pattern: string): string[] {
  if (linearPattern(pattern) !== undefined) return []
  return [`${path}: expected ${A_PATTERN}, got ${shown(pattern)}`]
}

/**
 * The problems of a list of objects. Holes and undefined are no objects.
 *
 * @param problems those of one of them
 */
export function eachOf(path: string, list: unknown, problems: (path: string, value: unknown) => string[]): string[] {
  if (!Array.isArray(list)) return [`${path}: expected a list, got ${shown(list)}`]
  return Array.from(list, (value, i) => {
    const at = `${path}[${i}]`
    return isObject(value) ? problems(at, value) : [`${at}: expected an object, got ${shown(value)}`]
  }).flat()
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function oneOf(...values: string[]): OptionCheck {
  return (v) => (values.includes(v as string) ? undefined : values.join(' or '))
}

const A_PATTERN = 'a regular expression of at most 1024 characters, without lookarounds and backreferences'
const ONE_OF_TWO = oneOf('Exact', 'RegularExpression')
const aText: OptionCheck = (v) => (typeof v === 'string' ? undefined : 'a string')
/** The Gateway API's own patterns. A leading dot, which they allow, would match no call. */
const aServiceName: OptionCheck = (v) =>
  /^[a-z_]\w*(\.[a-z_]\w*)*$/i.test(v as string) ? undefined : 'a name such as "package.Service"'
const aMethodName: OptionCheck = (v) => (/^[a-z_]\w*$/i.test(v as string) ? undefined : 'a name such as "Vote"')
const NOT_IN_GRPC: OptionCheck = () => 'none in a GRPCRoute\'s match, which an object as "method" makes it'

const HTTP_CHECKS = {
  path: anything,
  method: ((v) => (typeof v === 'string' && /^[A-Z]+$/.test(v) ? undefined : 'a method in upper case')) as OptionCheck,
  headers: anything,
  queryParams: anything,
}

const GRPC_CHECKS = { method: anything, headers: anything, path: NOT_IN_GRPC, queryParams: NOT_IN_GRPC }
