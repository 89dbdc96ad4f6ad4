import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../src/core/call.ts'
import type { RouteMatch } from '../../src/core/route-match.ts'
import { matcher } from '../../src/routing/match.ts'

function call(path: string, method = 'GET', headers: Record<string, string> = {}): Call {
  return { authority: 'voting', method, path, idempotent: true, header: (name) => headers[name] }
}

function matches(match: RouteMatch, ...paths: string[]): boolean[] {
  const { matches } = matcher(match)
  return paths.map((path) => matches(call(path)))
}

describe('a path', () => {
  test('matches by whole segments as a prefix, which is the default type', () => {
    const paths = ['/api', '/api/', '/api/vote', '/api?x=1', '/apis', '/', '/ap', '/x/api']
    const expected = [true, true, true, true, false, false, false, false]

    assert.deepEqual(matches({ path: { type: 'PathPrefix', value: '/api' } }, ...paths), expected)
    assert.deepEqual(matches({ path: { value: '/api' } }, ...paths), expected)
    assert.deepEqual(matches({ path: { value: '/api/' } }, ...paths), expected)
  })

  test('matches everything as the prefix /', () => {
    assert.deepEqual(matches({ path: { value: '/' } }, '/', '/a', '/?x', '//'), [true, true, true, true])
    assert.deepEqual(matches({}, '/', '/a'), [true, true])
  })

  test('matches exactly, without the query', () => {
    const match: RouteMatch = { path: { type: 'Exact', value: '/api' } }

    assert.deepEqual(matches(match, '/api', '/api?x=1', '/api/', '/API'), [true, true, false, false])
  })

  test('matches a regular expression as a whole', () => {
    const match: RouteMatch = { path: { type: 'RegularExpression', value: '/a|/b/\\d+' } }

    assert.deepEqual(matches(match, '/a', '/b/12', '/b/12?x=1', '/ab', '/x/a', '/b/1/'), [true, true, true, false, false, false])
  })

  test('that begins with a prefix at a segment matches it, whatever the rest', () => {
    const segment = fc.stringMatching(/^[a-z]{1,5}$/)
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1 }), fc.array(segment), (prefix, rest) => {
        const value = `/${prefix.join('/')}`

        assert.deepEqual(matches({ path: { value } }, [value, ...rest].join('/')), [true])
        assert.deepEqual(matches({ path: { value } }, `${value}x`), [false])
      }),
    )
  })
})

test('matches a method', () => {
  const { matches } = matcher({ method: 'POST' })

  assert.deepEqual([matches(call('/', 'POST')), matches(call('/', 'GET'))], [true, false])
})

test('matches headers, all of them, by names in any case', () => {
  const { matches } = matcher({
    headers: [
      { name: 'X-User', value: 'me' },
      { type: 'RegularExpression', name: 'x-version', value: 'v[12]' },
    ],
  })
  const test = (headers: Record<string, string>) => matches(call('/', 'GET', headers))

  assert.equal(test({ 'x-user': 'me', 'x-version': 'v2' }), true)
  assert.equal(test({ 'x-user': 'me', 'x-version': 'v23' }), false)
  assert.equal(test({ 'x-user': 'you', 'x-version': 'v2' }), false)
  assert.equal(test({ 'x-user': 'me' }), false)
})

test('matches query parameters, decoded', () => {
  const { matches } = matcher({
    queryParams: [
      { name: 'who', value: 'a b' },
      { type: 'RegularExpression', name: 'n', value: '\\d*' },
    ],
  })
  const test = (path: string) => matches(call(path))

  assert.deepEqual([test('/?n=1&who=a+b'), test('/?who=a%20b&n=')], [true, true])
  assert.deepEqual([test('/?who=a+b'), test('/?who=a&n=1'), test('/'), test('/?')], [false, false, false, false])
})

test('lets the first of several entries with one name count', () => {
  const headers = matcher({
    headers: [
      { name: 'x-user', value: 'me' },
      { name: 'X-User', value: 'you' },
    ],
  })

  assert.equal(headers.matches(call('/', 'GET', { 'x-user': 'me' })), true)
  assert.deepEqual(headers.precedence, [0, 1, 0, 1, 0])
})

test('takes all that is given together', () => {
  const { matches } = matcher({ path: { value: '/api' }, method: 'PUT', queryParams: [{ name: 'x', value: '1' }] })

  assert.equal(matches(call('/api/a?x=1', 'PUT')), true)
  assert.equal(matches(call('/api/a?x=1', 'GET')), false)
  assert.equal(matches(call('/other?x=1', 'PUT')), false)
  assert.equal(matches(call('/api?x=2', 'PUT')), false)
})
