/** Request headers by the name they are sent under. */
export type HeaderRecord = Record<string, string>

/**
 * The headers that Node's fetch would put on the wire, in its order: the caller's, then the body's type, then fetch's own.
 *
 * @param contentType of the body; sent unless the caller named one
 * @param empty the body is absent and the method announces one
 * @returns undefined for what takes the whole of the standard's rules: invalid or repeated names, values beyond ASCII, headers that
 * change others
 */
export function requestHeaders(
  init: unknown,
  contentType: string | undefined,
  empty: boolean,
  secure: boolean,
): HeaderRecord | undefined {
  if (init === undefined) return withDefaults({}, 0, contentType, empty, secure)
  if (typeof init !== 'object' || init === null) return undefined
  const headers: HeaderRecord = {}
  const given = Symbol.iterator in init ? fromPairs(headers, init) : fromRecord(headers, init)
  return given < 0 ? undefined : withDefaults(headers, given, contentType, empty, secure)
}

/** What the caller has given, so that it is not given twice; `NOT_PLAIN` ends the attempt. */
const NOT_PLAIN = -1
const CONTENT_TYPE = 1
const ACCEPT = 2
const ACCEPT_LANGUAGE = 4
const CONTENT_LENGTH = 8
const USER_AGENT = 16
const ACCEPT_ENCODING = 32
/** The name has a capital, so that another spelling of it may follow. */
const CAPITAL = 64

/** Names with a meaning: the defaults, and those that make fetch or the connection do something else. */
const NAMES: ReadonlyMap<string, number> = new Map([
  ['content-type', CONTENT_TYPE],
  ['accept', ACCEPT],
  ['accept-language', ACCEPT_LANGUAGE],
  ['content-length', CONTENT_LENGTH],
  ['user-agent', USER_AGENT],
  ['accept-encoding', ACCEPT_ENCODING],
  ...(
    'connection,expect,host,if-match,if-modified-since,if-none-match,if-range,if-unmodified-since,keep-alive,range,' +
    'sec-fetch-mode,set-cookie,transfer-encoding,upgrade'
  )
    .split(',')
    .map((name): [string, number] => [name, NOT_PLAIN]),
])

const NAME = /^[A-Za-z][A-Za-z0-9_-]*$/
/** What needs no trimming and no check: visible ASCII, spaces inside. */
const VALUE = /^(?:[!-~](?:[\t -~]*[!-~])?)?$/

function withDefaults(
  headers: HeaderRecord,
  given: number,
  contentType: string | undefined,
  empty: boolean,
  secure: boolean,
): HeaderRecord {
  if (contentType !== undefined && (given & CONTENT_TYPE) === 0) headers['content-type'] = contentType
  if ((given & ACCEPT) === 0) headers.accept = '*/*'
  if ((given & ACCEPT_LANGUAGE) === 0) headers['accept-language'] = '*'
  if (empty && (given & CONTENT_LENGTH) === 0) headers['content-length'] = '0'
  headers['sec-fetch-mode'] = 'cors'
  if ((given & USER_AGENT) === 0) headers['user-agent'] = 'node'
  if ((given & ACCEPT_ENCODING) === 0) headers['accept-encoding'] = acceptedEncodings(secure)
  return headers
}

/** What Node's fetch asks for; the newer codings are kept from plaintext, where middleboxes have been known to break them. */
export function acceptedEncodings(secure: boolean): string {
  return secure ? 'br, gzip, deflate' : 'gzip, deflate'
}

function fromRecord(headers: HeaderRecord, init: object): number {
  const prototype = Object.getPrototypeOf(init)
  if (prototype !== Object.prototype && prototype !== null) return NOT_PLAIN
  const record = init as Record<string, unknown>
  let given = 0
  for (const name of Object.keys(record)) {
    given = add(headers, given, name, record[name])
    if (given < 0) return NOT_PLAIN
  }
  return given
}

function fromPairs(headers: HeaderRecord, init: object): number {
  if (!Array.isArray(init) && !(init instanceof Headers)) return NOT_PLAIN
  let given = 0
  for (const pair of init as Iterable<unknown>) {
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== 'string' || Object.hasOwn(headers, pair[0]))
      return NOT_PLAIN
    given = add(headers, given, pair[0], pair[1])
    if (given < 0) return NOT_PLAIN
  }
  return given
}

/** Adds one header; the answer is `given` with what it means. */
function add(headers: HeaderRecord, given: number, name: string, value: unknown): number {
  const text = typeof value === 'number' ? `${value}` : value
  if (typeof text !== 'string' || !VALUE.test(text) || !NAME.test(name)) return NOT_PLAIN
  const lower = name.toLowerCase()
  const meaning = NAMES.get(lower) ?? 0
  if (meaning < 0) return NOT_PLAIN
  const capital = lower === name ? given & CAPITAL : CAPITAL
  if (capital !== 0 && isRepeated(headers, lower)) return NOT_PLAIN
  headers[name] = text
  return given | meaning | capital
}

function isRepeated(headers: HeaderRecord, lower: string): boolean {
  for (const name in headers) if (name.toLowerCase() === lower) return true
  return false
}
