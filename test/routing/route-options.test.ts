import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../src/core/call.ts'
import type { RouteMatch } from '../../src/core/route-match.ts'
import { retry } from '../../src/resilience/retry.ts'
import { matcher } from '../../src/routing/match.ts'
import { durationOf, routeProblems } from '../../src/routing/route-options.ts'

function problems(...routes: unknown[]): string[] {
  return routeProblems('routes', routes)
}

describe('a duration', () => {
  test('is read as the Gateway API writes it', () => {
    const read = ['0s', '500ms', '1s', '1m30s', '1h', '1h1m1s1ms', '10s5ms', '00010s'].map(durationOf)

    assert.deepEqual(read, [0, 500, 1_000, 90_000, 3_600_000, 3_661_001, 10_005, 10_000])
  })

  test('is nothing else, nor longer than a timer can run', () => {
    for (const text of [
      '',
      '0',
      '1',
      '1.5s',
      '-1s',
      '1d',
      '1 s',
      ' 1s',
      '1s ',
      's',
      '123456s',
      '1s1s1s1s1s',
      '99999h',
      '1us',
      '1S',
    ]) {
      assert.equal(durationOf(text), undefined, text)
    }
  })

  test('adds up', () => {
    const n = fc.integer({ min: 0, max: 500 })
    fc.assert(
      fc.property(n, n, n, n, (h, m, s, ms) => {
        assert.equal(durationOf(`${h}h${m}m${s}s${ms}ms`), ((h * 60 + m) * 60 + s) * 1_000 + ms)
      }),
    )
  })
})

test('has nothing to say of good routes', () => {
  assert.deepEqual(
    problems(
      { name: 'everything' },
      {
        name: 'vote',
        matches: [
          { path: { value: '/api' }, method: 'POST' },
          { path: { type: 'RegularExpression', value: 'a|b' }, headers: [{ name: 'h', value: '' }] },
          { queryParams: [{ type: 'RegularExpression', name: 'x', value: '\\d' }] },
          {},
        ],
        timeouts: { request: '1s', backendRequest: '1s' },
        retry: 'off',
      },
      {
        name: 'rpc',
        matches: [
          { method: { service: 'emojivoto.v1.VotingService', method: 'Vote' }, headers: [{ name: 'h', value: 'x' }] },
          { method: { type: 'Exact', method: 'vote_1' } },
          { method: { type: 'RegularExpression', service: 'emojivoto\\.(v1|v2)\\..*', method: 'Vote[A-Z]\\w*' } },
        ],
      },
      { name: 'retried', retry: retry(), timeouts: { backendRequest: '5s' } },
      { name: 'without end', timeouts: { request: '0s', backendRequest: '5s' } },
    ),
    [],
  )
})

test('says what is wrong, where, and what was got: a line each', () => {
  const cases: [unknown, string][] = [
    [5, 'routes[0]: expected an object, got 5'],
    [null, 'routes[0]: expected an object, got null'],
    [{}, 'routes[0].name: missing'],
    [{ name: '' }, 'routes[0].name: expected a name other than default, got ""'],
    [{ name: 'default' }, 'routes[0].name: expected a name other than default, got "default"'],
    [{ name: 7 }, 'routes[0].name: expected a name other than default, got 7'],
    [{ name: 'a', filters: [] }, 'routes[0].filters: unknown option, expected one of name, matches, timeouts, retry, hedge'],
    [{ name: 'a', retry: 'on' }, 'routes[0].retry: expected a retry policy or "off", got "on"'],
    [{ name: 'a', hedge: 'on' }, 'routes[0].hedge: expected a hedge policy or "off", got "on"'],
    [{ name: 'a', timeouts: '1s' }, 'routes[0].timeouts: expected an object, got "1s"'],
    [{ name: 'a', timeouts: { request: 1 } }, 'routes[0].timeouts.request: expected a duration like "500ms" or "1m30s", got 1'],
    [
      { name: 'a', timeouts: { request: '1s', backendRequest: '1s1ms' } },
      'routes[0].timeouts.backendRequest: expected at most the request\'s "1s", got "1s1ms"',
    ],
    [
      { name: 'a', timeouts: { total: '1s' } },
      'routes[0].timeouts.total: unknown option, expected one of request, backendRequest',
    ],
    [{ name: 'a', matches: {} }, 'routes[0].matches: expected a list, got an object'],
    [{ name: 'a', matches: ['/'] }, 'routes[0].matches[0]: expected an object, got "/"'],
    [matched({ method: 'get' }), 'routes[0].matches[0].method: expected a method in upper case, got "get"'],
    [matched({ host: 'x' }), 'routes[0].matches[0].host: unknown option, expected one of path, method, headers, queryParams'],
    [matched({ path: '/api' }), 'routes[0].matches[0].path: expected an object, got "/api"'],
    [matched({ path: {} }), 'routes[0].matches[0].path.value: missing'],
    [matched({ path: { value: 'api' } }), 'routes[0].matches[0].path.value: expected a path that begins with /, got "api"'],
    [
      matched({ path: { type: 'Prefix', value: '/' } }),
      'routes[0].matches[0].path.type: expected Exact or PathPrefix or RegularExpression, got "Prefix"',
    ],
    [
      matched({ path: { type: 'RegularExpression', value: 'a)(b' } }),
      'routes[0].matches[0].path.value: expected a regular expression of at most 1024 characters, without lookarounds and backreferences, got "a)(b"',
    ],
    [matched({ headers: [{ value: 'x' }] }), 'routes[0].matches[0].headers[0].name: missing'],
    [matched({ headers: 'x' }), 'routes[0].matches[0].headers: expected a list, got "x"'],
    [matched({ headers: [undefined] }), 'routes[0].matches[0].headers[0]: expected an object, got undefined'],
    [matched(undefined), 'routes[0].matches[0]: expected an object, got undefined'],
    [undefined, 'routes[0]: expected an object, got undefined'],
    [{ name: 'a', matches: new Array(1) }, 'routes[0].matches[0]: expected an object, got undefined'],
    [matched({ method: {} }), 'routes[0].matches[0].method: expected a service, a method or both, got neither'],
    [
      matched({ method: { service: 'a.B', host: 'x' } }),
      'routes[0].matches[0].method.host: unknown option, expected one of type, service, method',
    ],
    [
      matched({ method: { service: 'a/B' } }),
      'routes[0].matches[0].method.service: expected a name such as "package.Service", got "a/B"',
    ],
    [matched({ method: { method: 'a.B' } }), 'routes[0].matches[0].method.method: expected a name such as "Vote", got "a.B"'],
    [
      matched({ method: { type: 'PathPrefix', method: 'B' } }),
      'routes[0].matches[0].method.type: expected Exact or RegularExpression, got "PathPrefix"',
    ],
    [
      matched({ method: { service: 'a.B' }, path: { value: '/' } }),
      'routes[0].matches[0].path: expected none in a GRPCRoute\'s match, which an object as "method" makes it, got an object',
    ],
    [
      matched({ method: { type: 'RegularExpression', service: '(a)\\1' } }),
      'routes[0].matches[0].method.service: expected a regular expression of at most 1024 characters, without lookarounds and backreferences, got "(a)\\\\1"',
    ],
    [matched({ queryParams: [{ name: 'x' }] }), 'routes[0].matches[0].queryParams[0].value: missing'],
    [
      matched({ queryParams: [{ type: 'RegularExpression', name: 'x', value: '(' }] }),
      'routes[0].matches[0].queryParams[0].value: expected a regular expression of at most 1024 characters, without lookarounds and backreferences, got "("',
    ],
  ]

  for (const [route, expected] of cases) assert.deepEqual(problems(route), [expected])
  assert.deepEqual(routeProblems('routes', {}), ['routes: expected a list, got an object'])
})

test('says all that is wrong at once', () => {
  assert.deepEqual(
    problems({ name: 'a', retry: 1, matches: [{ method: 1 }, { path: { value: 1 } }] }, { name: 'a' }).map(
      (line) => line.split(':')[0],
    ),
    ['routes[0].retry', 'routes[0].matches[0].method', 'routes[0].matches[1].path.value', 'routes[1].name'],
  )
})

test('lets nothing pass that could not be compiled, whatever it is', () => {
  const text = fc.constantFrom('Exact', 'PathPrefix', 'RegularExpression', '/a', 'a)(b', '(', '', 'GET', '\\')
  const value = fc.oneof(text, fc.anything({ maxDepth: 1 }))
  const string = fc.record({ type: value, name: value, value }, { requiredKeys: [] })
  const match = fc.record(
    {
      path: fc.oneof(fc.record({ type: value, value }, { requiredKeys: [] }), value),
      method: fc.oneof(value, fc.record({ type: value, service: value, method: value }, { requiredKeys: [] })),
      headers: fc.oneof(fc.array(fc.oneof(string, value)), value),
      queryParams: fc.oneof(fc.array(string), value),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof({ arbitrary: match, weight: 9 }, value), (given) => {
      if (problems({ name: 'a', matches: [given] }).length > 0) return
      const call: Call = { authority: 'a', protocol: 'grpc', method: 'POST', path: '/a/b', idempotent: true, header: () => 'x' }
      assert.equal(typeof matcher(given as RouteMatch).matches(call), 'boolean')
    }),
    { numRuns: 1_000 },
  )
})

function matched(match: unknown): unknown {
  return { name: 'a', matches: [match] }
}
