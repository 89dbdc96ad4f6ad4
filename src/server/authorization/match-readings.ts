import type { GrpcRouteMatch, RouteMatch } from '../../core/route-match.ts'
import { requestTarget } from './request-target.ts'

/** A match for each reading of a request: see `RequestTarget`. */
export interface MatchReadings {
  readonly strict: RouteMatch
  /** Any of them. */
  readonly loose: readonly RouteMatch[]
  /** Requests that are plain must be read loosely, too: the match has capitals or a last slash, which such a request may lack and mean it all the same. */
  readonly always: boolean
}

/** @param accepts whether a match can be compiled: not every pattern that is made lenient can */
export function matchReadings(match: RouteMatch, accepts: (match: RouteMatch) => boolean): MatchReadings {
  if (isGrpc(match)) return { strict: match, loose: [withoutCase(match)], always: false }
  const { path } = match
  const method = match.method === undefined ? {} : { method: looseMethod(match.method) }
  if (path === undefined) return { strict: match, loose: [{ ...match, ...method }], always: false }
  if (path.type === 'RegularExpression') {
    const value = patternWithoutCase(path.value)
    const lenient = { ...match, ...method, path: { ...path, value: `(?:${value})/?` } }
    return { strict: match, loose: [accepts(lenient) ? lenient : { ...match, ...method }], always: value !== path.value }
  }
  const { strict, loose } = pathOfMatch(path.value) as { strict: string; loose: string }
  const bare = loose.length > 1 && loose.endsWith('/') ? loose.slice(0, -1) : loose
  // both with and without a last slash; for a prefix that is no difference
  const values = path.type === 'Exact' && bare !== '/' ? [bare, `${bare}/`] : [bare]
  return {
    strict: { ...match, path: { ...path, value: strict } },
    loose: values.map((value) => ({ ...match, ...method, path: { ...path, value } })),
    always: path.type === 'Exact' ? bare !== strict : loose !== strict,
  }
}

/** How a method is read loosely: servers answer HEAD by their handlers of GET, and over HTTP/2 a method may be in lower case. */
export function looseMethod(method: string): string {
  const upper = method.toUpperCase()
  return upper === 'HEAD' ? 'GET' : upper
}

/** The path of a match, which is written as one reads it; undefined when it is none that a request could have. */
export function pathOfMatch(value: string): { readonly strict: string; readonly loose: string } | undefined {
  if (value.includes('?') || value.includes('#')) return undefined
  return requestTarget(value.replace(/[^!-~]+/g, encodeURIComponent))
}

/** Whether it says which paths it is for: more than every one. */
export function namesPaths(match: RouteMatch): boolean {
  if (isGrpc(match)) return true
  const { type = 'PathPrefix', value = '/' } = match.path ?? {}
  return type !== 'PathPrefix' || value !== '/'
}

function isGrpc(match: RouteMatch): match is GrpcRouteMatch {
  return typeof match.method === 'object'
}

/** The servers of gRPC are exact; paths read loosely have no capitals, though. */
function withoutCase(match: GrpcRouteMatch): GrpcRouteMatch {
  const { type, service, method } = match.method
  const lower = (text: string): string => (type === 'RegularExpression' ? patternWithoutCase(text) : text.toLowerCase())
  return {
    ...match,
    method: {
      ...match.method,
      ...(service === undefined ? {} : { service: lower(service) }),
      ...(method === undefined ? {} : { method: lower(method) }),
    },
  }
}

/** Escapes such as `\D` keep their letter. */
function patternWithoutCase(pattern: string): string {
  return pattern.replace(/\\.|[A-Z]/gs, (found) => (found.length > 1 ? found : found.toLowerCase()))
}
