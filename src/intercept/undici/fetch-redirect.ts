import { acceptedEncodings, type HeaderRecord } from './fetch-headers.ts'
import type { FetchRequest } from './fetch-request.ts'
import { BLOCKED_PORTS, type FetchTarget, targetOf } from './fetch-url.ts'

/** The Fetch standard's limit. */
const MAX_REDIRECTS = 20

/** Whether a status asks to go elsewhere. */
export function isRedirectStatus(status: number): boolean {
  return status === 301 || status === 302 || status === 303 || status === 307 || status === 308
}

/**
 * The request that a redirect leads to (Fetch standard, section 4.4 "HTTP-redirect fetch").
 *
 * @param location as it was received, one character a byte
 * @returns the reason why it can't be followed, otherwise
 */
export function redirected(request: FetchRequest, status: number, location: string): FetchRequest | Error {
  const target = locationTarget(request, location)
  if (target instanceof Error) return target

  const method = methodAfter(request.options.method, status)
  const { origin, path } = target
  const left = origin !== request.options.origin
  const headers = headersAfter(request, method, left, origin.startsWith('https'))
  const body = method === request.options.method ? (request.options.body ?? null) : null
  return {
    url: target.url,
    options: { origin, path, method, headers, body },
    redirect: 'follow',
    signal: request.signal,
    redirects: request.redirects + 1,
    firstOrigin: request.firstOrigin,
    crossOrigin: request.crossOrigin || origin !== request.firstOrigin,
  }
}

/** The checks stand in the order of the standard, so that the first failure is the same. */
function locationTarget(request: FetchRequest, location: string): FetchTarget | Error {
  let url: URL
  try {
    url = new URL(isPrintable(location) ? location : Buffer.from(location, 'latin1').toString(), request.url)
  } catch (error) {
    return error as Error
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return new Error('URL scheme must be a HTTP(S) scheme')
  if (request.redirects === MAX_REDIRECTS) return new Error('redirect count exceeded')
  if (url.username !== '' || url.password !== '') return new Error('cross origin not allowed for request mode "cors"')
  if (BLOCKED_PORTS.has(url.port)) return new Error('bad port')
  return targetOf(url) as FetchTarget
}

function isPrintable(text: string): boolean {
  return /^[ -~]*$/.test(text)
}

function methodAfter(method: FetchRequest['options']['method'], status: number): FetchRequest['options']['method'] {
  if ((status === 301 || status === 302) && method === 'POST') return 'GET'
  return status === 303 && method !== 'GET' && method !== 'HEAD' ? 'GET' : method
}

const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'content-length',
])
const ORIGIN_HEADERS: ReadonlySet<string> = new Set(['authorization', 'proxy-authorization', 'cookie', 'host'])

function headersAfter(request: FetchRequest, method: string, left: boolean, secure: boolean): HeaderRecord {
  const headers: HeaderRecord = {}
  const bodyless = method !== request.options.method
  const asked = acceptedEncodings(request.options.origin?.toString().startsWith('https') === true)
  for (const [name, value] of Object.entries(request.options.headers as HeaderRecord)) {
    const lower = name.toLowerCase()
    if ((bodyless && BODY_HEADERS.has(lower)) || (left && ORIGIN_HEADERS.has(lower))) continue
    headers[name] = name === 'accept-encoding' && value === asked ? acceptedEncodings(secure) : value
  }
  return headers
}
