import type { IncomingHttpHeaders } from 'node:http'

/** Headers as a dispatcher hands them over: names and values in turn, or an object. */
export type ReceivedHeaders = readonly (Buffer | string | readonly (Buffer | string)[])[] | IncomingHttpHeaders

/** The `Headers` of a response: the caller may read them only. About 2 us; made when somebody asks. */
export function responseHeaders(received: ReceivedHeaders): Headers {
  readOnly ??= readOnlyHeaders()
  return new readOnly(isRaw(received) ? pairsOf(received) : entriesOf(received))
}

function isRaw(received: ReceivedHeaders): received is Exclude<ReceivedHeaders, IncomingHttpHeaders> {
  return Array.isArray(received)
}

function pairsOf(raw: Exclude<ReceivedHeaders, IncomingHttpHeaders>): [string, string][] {
  const pairs: [string, string][] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = textOf(raw[i] as Buffer | string).toLowerCase()
    const value = raw[i + 1] as Buffer | string | readonly (Buffer | string)[]
    if (typeof value === 'string' || Buffer.isBuffer(value)) pairs.push([name, textOf(value)])
    else for (const one of value) pairs.push([name, textOf(one as Buffer | string)])
  }
  return pairs
}

/** A byte a character, as the standard has it. */
function textOf(value: Buffer | string): string {
  return typeof value === 'string' ? value : value.toString('latin1')
}

function entriesOf(received: IncomingHttpHeaders): [string, string][] {
  const pairs: [string, string][] = []
  for (const [name, value] of Object.entries(received)) {
    if (Array.isArray(value)) for (const one of value) pairs.push([name, one])
    else if (value !== undefined) pairs.push([name, value])
  }
  return pairs
}

/** Made on first use: naming `Headers` loads Node's whole fetch, which takes 12 ms and 2 MB that a process without fetch saves. */
let readOnly: typeof Headers | undefined

function readOnlyHeaders(): typeof Headers {
  class ReadOnlyHeaders extends Headers {}
  const refuse = (): never => {
    throw new TypeError('immutable')
  }
  for (const name of ['append', 'set', 'delete']) Object.defineProperty(ReadOnlyHeaders.prototype, name, { value: refuse })
  // To whoever looks, they are ordinary headers.
  Object.defineProperty(ReadOnlyHeaders.prototype, 'constructor', { value: Headers })
  return ReadOnlyHeaders
}
