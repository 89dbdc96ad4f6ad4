import { MeshError } from './errors.ts'

/** Checks one option: returns what was expected when the value is wrong, undefined when it is right. */
export type OptionCheck = (value: unknown) => string | undefined

/**
 * Checks a strategy's options at the border and fills in the defaults: every problem at once, each with its path and what was got.
 *
 * @param path how the user came here, such as `p2c` or `services.voting.retry`
 * @throws MeshError INMESH_CONFIG for an unknown option or a wrong value
 */
export function readOptions<T extends object>(
  path: string,
  given: Partial<T> | undefined,
  defaults: T,
  checks: { readonly [K in keyof T]-?: OptionCheck },
): T {
  const problems = optionProblems(path, given, checks)
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  const read = { ...defaults }
  for (const key of Object.keys(given ?? {}) as (keyof T)[]) {
    const value = (given as Partial<T>)[key]
    if (value !== undefined) read[key] = value as T[keyof T]
  }
  return read
}

/** The problems of some options, one line each; empty when all is well. `undefined` counts as not given. */
export function optionProblems(path: string, given: unknown, checks: Readonly<Record<string, OptionCheck>>): string[] {
  if (given === undefined) return []
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return [`${path}: expected an object, got ${shown(given)}`]
  const problems: string[] = []
  for (const [key, value] of Object.entries(given)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined
    if (check === undefined) {
      problems.push(`${path}.${key}: unknown option, expected one of ${Object.keys(checks).join(', ') || 'none'}`)
      continue
    }
    const expected = value === undefined ? undefined : check(value)
    if (expected !== undefined) problems.push(`${path}.${key}: expected ${expected}, got ${shown(value)}`)
  }
  return problems
}

/** A value as an error message shows it: short, on one line. */
export function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value)
  if (value instanceof Error) return value.name
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  return String(value)
}

/** A duration in milliseconds, 0 or more, at most 2^31-1: a timer's limit. */
export const durationMs: OptionCheck = (v) =>
  typeof v === 'number' && v >= 0 && v <= 2_147_483_647 ? undefined : 'milliseconds from 0 to 2147483647'

/** A duration in milliseconds above 0. */
export const positiveMs: OptionCheck = (v) =>
  typeof v === 'number' && v > 0 && v <= 2_147_483_647 ? undefined : 'milliseconds above 0, at most 2147483647'

/** A finite number from `min` to `max`. */
export const numberFrom =
  (min: number, max: number): OptionCheck =>
  (v) =>
    Number.isFinite(v) && (v as number) >= min && (v as number) <= max
      ? undefined
      : `a number ${max === Number.POSITIVE_INFINITY ? `>= ${min}` : `from ${min} to ${max}`}`

/** An integer from `min` to `max`. */
export const integerFrom =
  (min: number, max: number = Number.MAX_SAFE_INTEGER): OptionCheck =>
  (v) =>
    Number.isInteger(v) && (v as number) >= min && (v as number) <= max
      ? undefined
      : `an integer ${max === Number.MAX_SAFE_INTEGER ? `>= ${min}` : `from ${min} to ${max}`}`

export const aFunction: OptionCheck = (v) => (typeof v === 'function' ? undefined : 'a function')
export const aString: OptionCheck = (v) => (typeof v === 'string' && v !== '' ? undefined : 'a string that is not empty')
export const aBoolean: OptionCheck = (v) => (typeof v === 'boolean' ? undefined : 'true or false')
/** Anything goes: the value is checked elsewhere. */
export const anything: OptionCheck = () => undefined
