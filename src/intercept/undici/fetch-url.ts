/** Where a fetch goes, in the two shapes that are needed: for `Response.url` and for a dispatcher. */
export interface FetchTarget {
  /** As `URL.href` would write it, without the fragment. */
  readonly url: string
  /** `http://voting:8080` */
  readonly origin: string
  /** Begins with `/`; contains the query, a lone `?` included. */
  readonly path: string
}

/**
 * Reads the URL of a fetch. URLs that `new URL` would return unchanged, nearly all of them, are told by a pattern: a fifth of the cost.
 *
 * @returns undefined for what is not ours to send: not a URL, another scheme, credentials, a blocked port
 */
export function fetchTarget(input: string): FetchTarget | undefined {
  const plain = PLAIN.exec(input)
  if (plain === null || input.includes('/.', 8) || !isPlainPort(plain[2], plain[3])) return parsedTarget(input)
  const origin = plain[1] as string
  const path = plain[4]
  return path === undefined ? { url: `${input}/`, origin, path: '/' } : { url: input, origin, path }
}

const LABEL = '[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?'
const OCTET = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'

/**
 * Origin, scheme, port, path. A last label that begins with a letter is no number, so the host is not an IPv4 address in
 * disguise; `xn--` must be validated, percent signs may hide dots, and any other character might get escaped.
 */
const PLAIN = new RegExp(
  `^((https?)://(?![^/]*xn--)(?:(?:${LABEL}\\.)*[a-z](?:[a-z0-9_-]*[a-z0-9_])?|(?:${OCTET}\\.){3}${OCTET})(?::([1-9]\\d{0,4}))?)` +
    "(/[\\w.~!$&'()*+,;=:@/-]*(?:\\?[\\w.~!$&()*+,;=:@/?%-]*)?)?$",
)

function isPlainPort(scheme: string | undefined, port: string | undefined): boolean {
  if (port === undefined) return true
  return Number(port) <= 65535 && port !== (scheme === 'https' ? '443' : '80') && !BLOCKED_PORTS.has(port)
}

function parsedTarget(input: string): FetchTarget | undefined {
  return URL.canParse(input) ? targetOf(new URL(input)) : undefined
}

/** As `fetchTarget`, for a URL that is parsed; the fragment is taken off it. */
export function targetOf(url: URL): FetchTarget | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return undefined
  if (url.username !== '' || url.password !== '' || BLOCKED_PORTS.has(url.port)) return undefined
  url.hash = ''
  const { href, origin } = url
  return { url: href, origin, path: href.slice(origin.length) }
}

/** Ports of services that must not be spoken to by accident (Fetch standard, section 2.9 "Port blocking"). */
export const BLOCKED_PORTS: ReadonlySet<string> = new Set(
  (
    '1,7,9,11,13,15,17,19,20,21,22,23,25,37,42,43,53,69,77,79,87,95,101,102,103,104,109,110,111,113,115,117,119,123,135,137,139,143,' +
    '161,179,389,427,465,512,513,514,515,526,530,531,532,540,548,554,556,563,587,601,636,989,990,993,995,1719,1720,1723,2049,3659,4045,' +
    '4190,5060,5061,6000,6566,6665,6666,6667,6668,6669,6679,6697,10080'
  ).split(','),
)
