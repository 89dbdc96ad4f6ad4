import type { Call } from '../core/call.ts'

/** A string to compare with, in the Gateway API's words. Of several with the same name, the first counts. */
export interface StringMatch {
  readonly type?: 'Exact' | 'RegularExpression'
  readonly name: string
  readonly value: string
}

/** An HTTPRouteMatch of the Gateway API: all that is given must hold. */
export interface RouteMatch {
  /** Default: prefix `/`. */
  readonly path?: { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value: string }
  readonly method?: string
  readonly headers?: readonly StringMatch[]
  readonly queryParams?: readonly StringMatch[]
}

/** A match made ready to be asked many times. */
export interface Matcher {
  matches(call: Call): boolean
  /** The Gateway API's order of precedence: compare element by element, the greater goes first. */
  readonly precedence: readonly [exact: number, prefixLength: number, method: number, headers: number, queryParams: number]
}

/** Compiles a match. A regular expression must match the whole value. */
export function matcher(match: RouteMatch): Matcher {
  const { path = { type: 'PathPrefix', value: '/' }, method, headers = [], queryParams = [] } = match
  const testPath = pathTest(path.type ?? 'PathPrefix', path.value)
  const headerTests = namedTests(headers.map((h) => ({ ...h, name: h.name.toLowerCase() })))
  const queryTests = namedTests(queryParams)
  return {
    matches(call) {
      const mark = call.path.indexOf('?')
      if (method !== undefined && call.method !== method) return false
      if (!testPath(mark === -1 ? call.path : call.path.slice(0, mark))) return false
      for (let i = 0; i < headerTests.length; i++) {
        const { name, test } = headerTests[i] as NamedTest
        if (!test(call.header(name))) return false
      }
      if (queryTests.length === 0) return true
      const query = new URLSearchParams(mark === -1 ? '' : call.path.slice(mark + 1))
      return queryTests.every(({ name, test }) => test(query.get(name) ?? undefined))
    },
    precedence: [
      path.type === 'Exact' ? 1 : 0,
      path.type === 'Exact' || path.type === 'RegularExpression' ? 0 : path.value.length,
      method === undefined ? 0 : 1,
      headerTests.length,
      queryTests.length,
    ],
  }
}

interface NamedTest {
  readonly name: string
  test(actual: string | undefined): boolean
}

function namedTests(list: readonly StringMatch[]): NamedTest[] {
  return list
    .filter(({ name }, i) => list.findIndex((other) => other.name === name) === i)
    .map((match) => ({ name: match.name, test: valueTest(match) }))
}

function pathTest(type: string, value: string): (path: string) => boolean {
  if (type === 'Exact') return (path) => path === value
  if (type === 'RegularExpression') {
    const pattern = new RegExp(`^(?:${value})$`)
    return (path) => pattern.test(path)
  }
  const prefix = value.endsWith('/') ? value.slice(0, -1) : value
  return (path) => path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 47)
}

function valueTest({ type, value }: StringMatch): (actual: string | undefined) => boolean {
  if (type !== 'RegularExpression') return (actual) => actual === value
  const pattern = new RegExp(`^(?:${value})$`)
  return (actual) => actual !== undefined && pattern.test(actual)
}
