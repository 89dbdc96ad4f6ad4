/** The path of a request as servers may read it, without its query. */
export interface RequestTarget {
  /** As it was sent: not every server undoes escapes before it compares, though RFC 3986, section 6.2.2, has them equal. */
  readonly strict: string
  /** As the most lenient router reads it: in lower case, escapes undone, also of slashes, slashes merged, cut at `;`. */
  readonly loose: string
  /** Begins with `?`; empty when there is none. */
  readonly query: string
}

/**
 * Whether every router reads a target alike, and none takes it for another one: `/api/votes?page=2` is, `/Api`, `/api/` and `/%61pi` are not. This is what
 * nearly all targets are, and it costs one regular expression.
 */
export function isPlain(target: string): boolean {
  return PLAIN.test(target)
}

/** What doesn't begin with a dot, so that no segment is `..`. */
const SEGMENT = "[a-z0-9_~!$&'()*+,:@=-][a-z0-9_~!$&'()*+,:@=.-]*"
const PLAIN = new RegExp(`^/(?:${SEGMENT}(?:/${SEGMENT})*)?(?:\\?|$)`)

/**
 * Reads a target, in whichever of HTTP's forms: `/admin`, `http://host/admin`, `*`.
 *
 * Which targets servers read differently was tried with Express 4 and 5, Fastify with each option of its router, and `new URL`: Express ignores case and a last
 * slash, Fastify undoes escapes before it looks for a route and can be told to merge slashes and to cut at `;`, and `new URL` resolves dot segments, takes `\`
 * for a slash, and what follows `//` for a host.
 *
 * @returns undefined when nobody can say which path is meant: dot segments, escaped or not, `\`, `#`, control characters,
 * escapes that are none, `//` or `/%2F` at the start
 */
export function requestTarget(target: string): RequestTarget | undefined {
  const local = target === '*' ? '/' : target.replace(ORIGIN, '')
  const end = local.indexOf('?')
  const strict = (end < 0 ? local : local.slice(0, end)) || (local === target ? '' : '/')
  if (!UNAMBIGUOUS.test(strict)) return undefined
  const undone = undo(strict)
  if (DOT_SEGMENT.test(strict) || DOT_SEGMENT.test(undone)) return undefined
  return { strict, loose: looseReading(strict, undone), query: end < 0 ? '' : local.slice(end) }
}

/** Cut at `;` as it was sent, not at an escaped one, which is undone only afterwards. */
function looseReading(path: string, undone: string): string {
  const semicolon = path.indexOf(';')
  const whole = semicolon < 0 ? undone : undo(path.slice(0, semicolon))
  return (whole.includes('//') ? whole.replace(/\/{2,}/g, '/') : whole).toLowerCase()
}

function undo(path: string): string {
  return path.includes('%') ? path.replace(ASCII, decoded).replace(BEYOND, decoded) : path
}

/** Scheme and authority of a target in absolute form (RFC 9112, section 3.2.2). */
const ORIGIN = /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i
/** One slash at the start, escaped ones counted; what is escaped right, and no `#`, and no `\` and no control character, escaped or not. */
const UNAMBIGUOUS = /^\/(?!\/|%2f)(?:[!"$&-[\]-~]|%(?!5c|7f|[01])[0-9a-f]{2})*$/i
/** Some servers leave off what follows `;` before they look for them. */
const DOT_SEGMENT = /\/\.{1,2}(?:[/;]|$)/
/** Of ASCII, without `?`, `#` and `%`, which would become marks that they are not. */
const ASCII = /%(?!3f|23|25)[2-7][0-9a-f]/gi
const BEYOND = /(?:%[89a-f][0-9a-f])+/gi

/** What is no UTF-8 stays. */
function decoded(escapes: string): string {
  try {
    return decodeURIComponent(escapes)
  } catch {
    return escapes
  }
}
