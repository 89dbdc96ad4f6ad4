import type { Matched, StringMatch } from '../core/route-match.ts'
import { linearPattern } from './linear-pattern.ts'

/** A string match made ready to be asked many times. */
export interface NamedTest {
  readonly name: string
  test(actual: string | undefined): boolean
}

export function namedTests(list: readonly StringMatch[]): NamedTest[] {
  return list
    .filter(({ name }, i) => list.findIndex((other) => other.name === name) === i)
    .map(({ name, type, value }) => ({ name, test: textTest(type, value) }))
}

/** The names of headers are compared without regard to case. */
export function headerTests(headers: readonly StringMatch[]): NamedTest[] {
  return namedTests(headers.map((h) => ({ ...h, name: h.name.toLowerCase() })))
}

export function passHeaders(call: Matched, tests: readonly NamedTest[]): boolean {
  for (let i = 0; i < tests.length; i++) {
    const { name, test } = tests[i] as NamedTest
    if (!test(call.header(name))) return false
  }
  return true
}

/** A regular expression must match the whole value; one that `linearPattern` can't have matches nothing, and options are checked for it. */
export function textTest(type: string | undefined, value: string): (actual: string | undefined) => boolean {
  if (type !== 'RegularExpression') return (actual) => actual === value
  const pattern = linearPattern(value)
  return (actual) => actual !== undefined && pattern?.test(actual) === true
}
