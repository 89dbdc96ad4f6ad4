import type { Dispatcher, RequestRedirect } from 'undici'
import { requestBody } from './fetch-body.ts'
import { requestHeaders } from './fetch-headers.ts'
import { type FetchTarget, fetchTarget } from './fetch-url.ts'

/** One hop of a fetch, ready to be dispatched. */
export interface FetchRequest {
  /** What `Response.url` will say of it. */
  readonly url: string
  readonly options: Dispatcher.DispatchOptions
  readonly redirect: RequestRedirect
  readonly signal: AbortSignal | undefined
  /** Redirects that led here. */
  readonly redirects: number
  /** The origin that the caller asked for. */
  readonly firstOrigin: string
  /** A redirect has left that origin; the response's type is `cors` from then on. */
  readonly crossOrigin: boolean
}

/**
 * Reads the arguments of a fetch without building a `Request`.
 *
 * @returns undefined when there is anything in them that takes the whole of the standard: a `Request`, a body that streams,
 * options that change headers or checks, and whatever is wrong, so that fetch itself says how
 */
export function fetchRequest(input: unknown, init: unknown): FetchRequest | undefined {
  const target = targetFrom(input)
  if (target === undefined) return undefined
  if (init === undefined || init === null) return plainGet(target)
  if (typeof init !== 'object' || hasMore(init)) return undefined

  const { method, headers, body, redirect = 'follow', signal } = init as RequestInit
  const name = methodFrom(method)
  if (name === undefined || !isRedirect(redirect) || !isSignal(signal)) return undefined
  const sent = body === undefined || body === null ? undefined : requestBody(body)
  if (sent === undefined ? body !== undefined && body !== null : name === 'GET' || name === 'HEAD') return undefined
  const empty = sent === undefined && (name === 'POST' || name === 'PUT')
  const list = requestHeaders(headers, sent?.type, empty, target.origin.startsWith('https'))
  if (list === undefined) return undefined
  return {
    url: target.url,
    options: { origin: target.origin, path: target.path, method: name, headers: list, body: sent?.payload ?? null },
    redirect,
    signal: signal ?? undefined,
    redirects: 0,
    firstOrigin: target.origin,
    crossOrigin: false,
  }
}

function targetFrom(input: unknown): FetchTarget | undefined {
  if (typeof input === 'string') return fetchTarget(input)
  return input instanceof URL ? fetchTarget(input.href) : undefined
}

function plainGet(target: FetchTarget): FetchRequest | undefined {
  const headers = requestHeaders(undefined, undefined, false, target.origin.startsWith('https'))
  if (headers === undefined) return undefined
  return {
    url: target.url,
    options: { origin: target.origin, path: target.path, method: 'GET', headers, body: null },
    redirect: 'follow',
    signal: undefined,
    redirects: 0,
    firstOrigin: target.origin,
    crossOrigin: false,
  }
}

/** Options beyond those read above. The values let through change nothing for a request without credentials or cache. */
function hasMore(init: object): boolean {
  const { mode, credentials, cache, referrer, referrerPolicy, integrity, keepalive, duplex, priority, window, dispatcher } =
    init as RequestInit & { priority?: unknown; window?: unknown; dispatcher?: unknown; cache?: unknown }
  return (
    (mode !== undefined && mode !== 'cors') ||
    (credentials !== undefined && credentials !== 'same-origin' && credentials !== 'include' && credentials !== 'omit') ||
    (cache !== undefined && cache !== 'default') ||
    referrer !== undefined ||
    referrerPolicy !== undefined ||
    (integrity !== undefined && integrity !== '') ||
    (keepalive !== undefined && typeof keepalive !== 'boolean') ||
    (duplex !== undefined && duplex !== 'half') ||
    priority !== undefined ||
    (window !== undefined && window !== null) ||
    dispatcher !== undefined
  )
}

/** The names that fetch puts in upper case, and PATCH, which it does not. */
function methodFrom(method: unknown): Dispatcher.HttpMethod | undefined {
  switch (method) {
    case undefined:
    case 'GET':
    case 'get':
      return 'GET'
    case 'POST':
    case 'post':
      return 'POST'
    case 'PUT':
    case 'put':
      return 'PUT'
    case 'DELETE':
    case 'delete':
      return 'DELETE'
    case 'PATCH':
      return 'PATCH'
    case 'HEAD':
    case 'head':
      return 'HEAD'
    case 'OPTIONS':
    case 'options':
      return 'OPTIONS'
    default:
      return undefined
  }
}

function isRedirect(redirect: unknown): redirect is RequestRedirect {
  return redirect === 'follow' || redirect === 'manual' || redirect === 'error'
}

function isSignal(signal: unknown): signal is AbortSignal | null | undefined {
  return signal === undefined || signal === null || signal instanceof AbortSignal
}
