import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { requestHeaders } from '../../src/intercept/undici/fetch-headers.ts'

const name = fc.oneof(
  fc.constantFrom(
    'accept',
    'Accept',
    'x-a',
    'X-A',
    'X-a',
    'user-agent',
    'cookie',
    'range',
    'host',
    'a b',
    '',
    '__proto__',
    'constructor',
    'ä',
  ),
  fc.stringMatching(/^[A-Za-z0-9_-]{1,6}$/),
)
const value = fc.oneof(
  fc.stringMatching(/^[ -~]{0,6}$/),
  fc.constantFrom(' a ', 'a\tb', 'ä', '€', 'a\nb', '\0', ''),
  fc.integer(),
  fc.constantFrom(null, undefined, true),
)
const inits = fc.oneof(fc.dictionary(name, value), fc.array(fc.tuple(name, value)), fc.array(fc.array(value)))

test('takes any headers as the Headers class does, or leaves them to it', () => {
  fc.assert(
    fc.property(inits, (init) => {
      const taken = requestHeaders(init, undefined, false, false)
      if (taken === undefined) return
      const expected = new Headers(init as [string, string][])
      const given = Object.entries(taken).filter(([key]) => expected.has(key))
      assert.deepEqual(given.map(([key, text]) => [key.toLowerCase(), text]).sort(), [...expected].sort())
    }),
    { numRuns: 5_000 },
  )
})

test('takes ordinary headers itself', () => {
  const inits = [
    undefined,
    {},
    { accept: 'a/b', 'X-Request-Id': '1' },
    [['a', 'b']],
    new Headers({ a: 'b' }),
    Object.create(null),
  ]

  for (const init of inits) assert.notEqual(requestHeaders(init, undefined, false, false), undefined)
})

test('adds what fetch adds, each once', () => {
  const given = { Accept: 'a/b', 'accept-LANGUAGE': 'de', 'content-TYPE': 'x/y', 'User-Agent': 'me', 'accept-encoding': 'br' }

  assert.deepEqual(requestHeaders(given, 'text/plain', true, true), { ...given, 'content-length': '0', 'sec-fetch-mode': 'cors' })
})
