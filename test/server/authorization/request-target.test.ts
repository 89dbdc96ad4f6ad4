import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { isPlain, requestTarget } from '../../../src/server/authorization/request-target.ts'

describe('a target', () => {
  const READINGS: readonly [target: string, strict: string, loose: string][] = [
    ['/', '/', '/'],
    ['/admin', '/admin', '/admin'],
    ['/Admin/', '/Admin/', '/admin/'],
    ['/%61dmin', '/%61dmin', '/admin'],
    ['/a%2fb', '/a%2fb', '/a/b'],
    ['/a//b', '/a//b', '/a/b'],
    ['/a;x=1/b', '/a;x=1/b', '/a'],
    ['/a%3bb', '/a%3bb', '/a;b'],
    ['/%40me', '/%40me', '/@me'],
    ['/what%3F', '/what%3F', '/what%3f'],
    ['/%252e%252e/a', '/%252e%252e/a', '/%252e%252e/a'],
    ['/caf%c3%A9', '/caf%c3%A9', '/café'],
    ['/caf%E9', '/caf%E9', '/caf%e9'],
    ['http://host/admin', '/admin', '/admin'],
    ['HTTP://host:80/admin', '/admin', '/admin'],
    ['http://host', '/', '/'],
    ['*', '/', '/'],
    ['/.well-known/x', '/.well-known/x', '/.well-known/x'],
    ['/a..b/...', '/a..b/...', '/a..b/...'],
  ]
  for (const [target, strict, loose] of READINGS) {
    test(`${target} is read as ${strict}, and as ${loose} by the lenient`, () => {
      assert.deepEqual(requestTarget(target), { strict, loose, query: '' })
    })
  }

  const AMBIGUOUS = [
    ...[
      '/../a',
      '/a/..',
      '/./a',
      '/a/%2e%2e/b',
      '/a/%2E',
      '/a%2f..%2fb',
      '/a/.%2e/b',
      '/a/..;/b',
      '//a',
      '//host/a',
      'http://h//a',
    ],
    ...[
      '/a#b',
      '/a#?b',
      'http://h#',
      '/\\a',
      '/a\\..\\b',
      '/a%5cb',
      '/a%5C',
      '/a%00',
      '/a%0d',
      '/a%7f',
      '/a%',
      '/a%zz',
      '/a%2',
      '/a b',
      '/\u00e9',
      'a',
      '',
    ],
  ]
  for (const target of AMBIGUOUS) {
    test(`${JSON.stringify(target)} means nothing for sure`, () => {
      assert.equal(requestTarget(target), undefined)
    })
  }

  test('ends at its query', () => {
    const read = ['/a?b=/../c', '/a?b?c', 'http://h?b', '/a?'].map(requestTarget)

    assert.deepEqual(
      read.map((target) => target && [target.strict, target.query]),
      [
        ['/a', '?b=/../c'],
        ['/a', '?b?c'],
        ['/', '?b'],
        ['/a', '?'],
      ],
    )
  })

  test('is plain only if both readings are the target itself', () => {
    const piece = fc.constantFrom('/', '.', '..', 'a', 'B', '%2e', '%2F', '%61', ';', '\\', '?', '#', '//', 'x-1', '*', '%')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const target = `/${pieces.join('')}`
        if (!isPlain(target)) return
        const read = requestTarget(target)
        assert.equal(read?.strict, target.split(/[?]/, 1)[0])
        assert.equal(read?.loose, read?.strict)
      }),
    )
  })

  test('that is usual is plain', () => {
    const usual = ['/', '/api/votes', '/api/votes?choice=%2F..', '/v1/users/42', '/a.b/c_d~e', '/@me']

    assert.deepEqual(
      usual.map(isPlain),
      usual.map(() => true),
    )
  })
})
