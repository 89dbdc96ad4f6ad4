import type { GrpcRouteMatch, HttpRouteMatch, Matched, RouteMatch } from '../core/route-match.ts'
import { grpcMatcher } from './grpc-match.ts'
import { headerTests, namedTests, passHeaders, textTest } from './string-match.ts'

/** A match made ready to be asked many times. */
export interface Matcher {
  matches(call: Matched): boolean
  /**
   * The Gateway API's order of precedence: compare element by element, the greater goes first. Of a match of gRPC's the first three are 2, the
   * characters in its service and those in its method.
   */
  readonly precedence: readonly [exact: number, prefixLength: number, method: number, headers: number, queryParams: number]
}

/** Compiles a match. A regular expression must match the whole value. */
export function matcher(match: RouteMatch): Matcher {
  return isGrpc(match) ? grpcMatcher(match) : httpMatcher(match)
}

function isGrpc(match: RouteMatch): match is GrpcRouteMatch {
  return typeof match.method === 'object'
}

function httpMatcher(match: HttpRouteMatch): Matcher {
  const { path = { type: 'PathPrefix', value: '/' }, method, headers = [], queryParams = [] } = match
  const testPath = pathTest(path.type ?? 'PathPrefix', path.value)
  const tests = headerTests(headers)
  const queryTests = namedTests(queryParams)
  return {
    matches(call) {
      const mark = call.path.indexOf('?')
      if (method !== undefined && call.method !== method) return false
      if (!testPath(mark === -1 ? call.path : call.path.slice(0, mark))) return false
      if (!passHeaders(call, tests)) return false
      if (queryTests.length === 0) return true
      const query = new URLSearchParams(mark === -1 ? '' : call.path.slice(mark + 1))
      return queryTests.every(({ name, test }) => test(query.get(name) ?? undefined))
    },
    precedence: [
      path.type === 'Exact' ? 1 : 0,
      path.type === 'Exact' || path.type === 'RegularExpression' ? 0 : path.value.length,
      method === undefined ? 0 : 1,
      tests.length,
      queryTests.length,
    ],
  }
}

function pathTest(type: string, value: string): (path: string) => boolean {
  if (type !== 'PathPrefix') return textTest(type, value)
  const prefix = value.endsWith('/') ? value.slice(0, -1) : value
  return (path) => path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === 47)
}
