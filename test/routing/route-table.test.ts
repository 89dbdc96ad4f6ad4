import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Call } from '../../src/core/call.ts'
import { noRetry } from '../../src/core/retry-policy.ts'
import type { RouteMatch } from '../../src/core/route-match.ts'
import { type RouteRule, routeTable } from '../../src/routing/route-table.ts'
import { SmallService } from '../core/small-service.ts'

const { service } = new SmallService()
const POLICY = { retry: noRetry, timeoutMs: 100, perTryTimeoutMs: 10 }

function rule(name: string, ...matches: RouteMatch[]): RouteRule {
  return { name, matches, ...POLICY }
}

function call(path: string, method = 'GET', headers: Record<string, string> = {}): Call {
  return { authority: 'voting', method, path, idempotent: true, header: (name) => headers[name] }
}

test('answers with the default when there is no rule, or none matches', () => {
  const bare = routeTable(service, POLICY)
  const ruled = routeTable(service, POLICY, [rule('api', { path: { value: '/api' } })])

  for (const table of [bare, ruled]) {
    const route = table.route(call('/'))
    assert.deepEqual({ ...route }, { service, name: 'default', ...POLICY })
    assert.equal(table.route(call('/')), route)
    assert.equal(table.service, service)
  }
})

test('answers with what the rule grants', () => {
  const table = routeTable(service, POLICY, [{ name: 'slow', matches: [], retry: noRetry, timeoutMs: 5_000, perTryTimeoutMs: 0 }])

  const granted = { service, name: 'slow', retry: noRetry, hedge: undefined, timeoutMs: 5_000, perTryTimeoutMs: 0 }
  assert.deepEqual({ ...table.route(call('/')) }, granted)
})

test("goes by the Gateway API's order: exact path, longer prefix, method, more headers, more parameters, first written", () => {
  const rules = [
    rule('everything'),
    rule('params', { path: { value: '/api' }, queryParams: [{ name: 'x', value: '1' }] }),
    rule('headers', { path: { value: '/api' }, headers: [{ name: 'h', value: '1' }] }),
    rule('method', { path: { value: '/api' }, method: 'POST' }),
    rule('longer', { path: { value: '/api/vote' } }),
    rule('exact', { path: { type: 'Exact', value: '/api' } }),
    rule('plain', { path: { value: '/api' } }),
    rule('plain too', { path: { value: '/api' } }),
  ]
  const cases: [string, Call][] = [
    ['exact', call('/api?x=1', 'POST', { h: '1' })],
    ['longer', call('/api/vote?x=1', 'POST', { h: '1' })],
    ['method', call('/api/v?x=1', 'POST', { h: '1' })],
    ['headers', call('/api/v?x=1', 'GET', { h: '1' })],
    ['params', call('/api/v?x=1')],
    ['plain', call('/api/v')],
    ['everything', call('/')],
  ]

  for (const order of [rules, rules.slice(0, 7).reverse()]) {
    const table = routeTable(service, POLICY, order)
    assert.deepEqual(
      cases.map(([, c]) => table.route(c).name),
      cases.map(([name]) => name),
    )
  }
})

test("goes by the Gateway API's order for gRPC, before any rule of HTTP's: service, method, more headers, first written", () => {
  const rules = [
    rule('http', { path: { type: 'Exact', value: '/a.Voting/Vote' }, method: 'POST' }),
    rule('pattern', { method: { type: 'RegularExpression', service: 'a\\.Voting|a\\.Emoji', method: '.*' } }),
    rule('any Vote', { method: { method: 'Vote' } }),
    rule('any Vote by me', { method: { method: 'Vote' }, headers: [{ name: 'h', value: '1' }] }),
    rule('all of Voting', { method: { service: 'a.Voting' } }),
    rule('voting', { method: { service: 'a.Voting', method: 'Vote' } }),
    rule('voting by me', { method: { service: 'a.Voting', method: 'Vote' }, headers: [{ name: 'h', value: '1' }] }),
    rule('voting too', { method: { service: 'a.Voting', method: 'Vote' } }),
  ]
  const rpc = (path: string, headers?: Record<string, string>): Call => ({ ...call(path, 'POST', headers), protocol: 'grpc' })
  const cases: [string, Call][] = [
    ['voting by me', rpc('/a.Voting/Vote', { h: '1' })],
    ['voting', rpc('/a.Voting/Vote')],
    ['all of Voting', rpc('/a.Voting/Results')],
    ['any Vote by me', rpc('/b.Other/Vote', { h: '1' })],
    ['any Vote', rpc('/a.Emoji/Vote')],
    ['pattern', rpc('/a.Emoji/List')],
    ['default', rpc('/b.Other/List')],
    ['http', call('/a.Voting/Vote', 'POST')],
  ]

  for (const order of [rules, rules.slice(0, 7).reverse()]) {
    const table = routeTable(service, POLICY, order)
    assert.deepEqual(
      cases.map(([, c]) => table.route(c).name),
      cases.map(([name]) => name),
    )
  }
})

test('gives all matches of a rule the same route', () => {
  const table = routeTable(service, POLICY, [rule('either', { path: { value: '/a' } }, { path: { type: 'Exact', value: '/b' } })])

  assert.equal(table.route(call('/a')).name, 'either')
  assert.equal(table.route(call('/a')), table.route(call('/b')))
})
