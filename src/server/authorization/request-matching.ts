import type { Matched, RouteMatch } from '../../core/route-match.ts'

/**
 * What routing knows of the Gateway API's matches. It is handed in by whoever makes the reception: the server's side may not import routing, and a rule of who may
 * ask for a path must understand the path exactly as a route does.
 */
export interface RequestMatching {
  /** What is wrong with a match, a line each; empty when all is well. */
  problems(path: string, match: unknown): string[]
  compile(match: RouteMatch): RequestMatcher
  /** For sorting, the more specific first. */
  byPrecedence(a: RequestMatcher, b: RequestMatcher): number
}

export interface RequestMatcher {
  matches(request: Matched): boolean
  readonly precedence: readonly [exact: number, prefixLength: number, method: number, headers: number, queryParams: number]
}
