import type { Dispatcher } from 'undici'

type Headers = Dispatcher.DispatchOptions['headers']

/** A header's value in any of the shapes undici takes; several values are joined. `name` is lower case. Allocates nothing for one value. */
export function headerOf(headers: Headers, name: string): string | undefined {
  if (headers === null || headers === undefined) return undefined
  if (Array.isArray(headers)) return inList(headers, name)
  if (Symbol.iterator in headers) return inPairs(headers as Iterable<[string, unknown]>, name)
  return inObject(headers as Record<string, unknown>, name)
}

/** Whether headers can be read but once, as those of a generator can. */
export function isOneShot(headers: Headers): boolean {
  return typeof (headers as { next?: unknown } | null | undefined)?.next === 'function'
}

/**
 * The same headers with some more, or with other values for those, as a flat list.
 *
 * @param more names, in lower case, and values in turn
 */
export function withHeaders(headers: Headers, more: readonly string[]): string[] {
  const list: string[] = []
  if (headers !== null && headers !== undefined) appendOthers(list, headers, more)
  for (let i = 0; i < more.length; i++) list.push(more[i] as string)
  return list
}

function appendOthers(list: string[], headers: NonNullable<Headers>, more: readonly string[]): void {
  for (const [key, values] of entries(headers)) {
    if (values === undefined || isOneOf(key, more)) continue
    if (Array.isArray(values)) for (const one of values) list.push(key, one === null ? '' : String(one))
    else list.push(key, values === null ? '' : String(values))
  }
}

function isOneOf(key: string, more: readonly string[]): boolean {
  for (let i = 0; i < more.length; i += 2) if (isNamed(key, more[i] as string)) return true
  return false
}

function inList(headers: readonly unknown[], name: string): string | undefined {
  let found: string | undefined
  for (let i = 0; i + 1 < headers.length; i += 2) if (isNamed(headers[i], name)) found = joined(found, headers[i + 1])
  return found
}

function inPairs(headers: Iterable<[string, unknown]>, name: string): string | undefined {
  let found: string | undefined
  for (const pair of headers) if (Array.isArray(pair) && isNamed(pair[0], name)) found = joined(found, pair[1])
  return found
}

function inObject(headers: Record<string, unknown>, name: string): string | undefined {
  let found: string | undefined
  for (const key in headers) if (isNamed(key, name) && Object.hasOwn(headers, key)) found = joined(found, headers[key])
  return found
}

/** Compares the lengths first, so that hardly any name is ever put into lower case. */
function isNamed(key: unknown, name: string): boolean {
  return typeof key === 'string' && key.length === name.length && (key === name || key.toLowerCase() === name)
}

function joined(before: string | undefined, value: unknown): string | undefined {
  if (value === undefined || value === null) return before
  const text = Array.isArray(value) ? value.join(', ') : String(value)
  return before === undefined ? text : `${before}, ${text}`
}

function* entries(headers: NonNullable<Headers>): Iterable<[string, unknown]> {
  if (Array.isArray(headers)) for (let i = 0; i + 1 < headers.length; i += 2) yield [headers[i] as string, headers[i + 1]]
  else if (Symbol.iterator in headers) yield* headers as Iterable<[string, unknown]>
  else yield* Object.entries(headers)
}
