import assert from 'node:assert/strict'
import { channel } from 'node:diagnostics_channel'
import { type TestContext, test } from 'node:test'
import type { AuthorizationOptions } from '../../../src/server/authorization/authorization-options.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'
import { matching } from '../support/matching.ts'
import { type PlainFacts, PlainInbound } from '../support/plain-inbound.ts'
import { serving } from '../support/serving.ts'

/** A reception, and the warnings and messages that it gives. */
function watched(t: TestContext, authorization?: AuthorizationOptions) {
  const warnings: string[] = []
  t.mock.method(process, 'emitWarning', (text: string, { code }: { code: string }) => void warnings.push(`${code}: ${text}`))
  const runtime = virtualRuntime()
  const { mesh, seen } = serving(authorization && { authorization }, { runtime, matching })
  const begin = (facts?: PlainFacts) => {
    const inbound = new PlainInbound(runtime.clock, facts)
    mesh.inbound.begin(inbound)
    return inbound.refusal?.rule
  }
  return { reception: mesh.inbound, seen, warnings, begin, clock: runtime.clock }
}

const RULES: AuthorizationOptions = { rules: [{ name: 'admin', matches: [{ path: { value: '/admin' } }], allow: [] }] }

test('a rule that refuses warns at once, then once a minute with how many there were', (t) => {
  const { begin, clock, warnings } = watched(t, RULES)

  for (const ms of [0, 1, 59_998, 1]) {
    clock.advance(ms)
    begin({ path: '/admin/users?token=secret', identity: 'spiffe://td/a', address: '10.0.0.7' })
  }

  const first = 'INMESH_UNAUTHORIZED: inbound.authorization: "admin" refused "GET" "/admin/users" from spiffe://td/a at 10.0.0.7'
  assert.deepEqual(warnings, [first, `${first}, and 2 more since the last warning`])
})

test('each rule warns, and what it is told by strangers stays on one short line', (t) => {
  const { begin, warnings } = watched(t, { default: 'audit', ...RULES })

  begin({ path: '/x', address: '' })
  begin({ path: `/admin/\u001b[31m\n${'x'.repeat(1_000)}` })

  assert.equal(
    warnings[0],
    'INMESH_UNAUTHORIZED: inbound.authorization: "default" would have refused "GET" "/x" from a caller without identity at no address',
  )
  assert.match(String(warnings[1]), /"ambiguous" refused "GET" "\/admin\/\\u001b\[31m\\nx+\.\.\." from/)
  assert.ok(String(warnings[1]).length < 250)
})

test('whoever listens is told of each denial, without the query', (t) => {
  const { begin } = watched(t, { default: 'audit', ...RULES })
  const told: unknown[] = []
  const listen = (message: unknown) => void told.push(message)
  channel('inmesh:authorization').subscribe(listen)
  t.after(() => channel('inmesh:authorization').unsubscribe(listen))

  begin({ path: '/admin?a=1', identity: 'spiffe://td/a' })
  begin({ path: '/x' })

  const common = { protocol: 'http', method: 'GET', address: '10.0.0.7', caller: '' }
  assert.deepEqual(told, [
    { ...common, rule: 'admin', mode: 'enforce', path: '/admin', identity: 'spiffe://td/a' },
    { ...common, rule: 'default', mode: 'audit', path: '/x', identity: undefined },
  ])
})

test('a request that may not be made is refused before its deadline and the limits are looked at', (t) => {
  const { reception, begin, seen } = watched(t, RULES)

  assert.equal(begin({ path: '/admin', deadline: 0 }), 'admin')
  reception.state = 'left'
  assert.equal(begin({ path: '/admin' }), undefined)
  assert.deepEqual(seen.lines, [
    'started GET /admin',
    'refused unauthorized enforced',
    'started GET /admin',
    'refused draining enforced',
  ])
})

test('a policy is replaced for the requests that follow, and stays when the new one is wrong', (t) => {
  const { reception, begin } = watched(t)
  const refused = () => begin({ path: '/admin' })

  assert.equal(refused(), undefined)
  reception.authorize(RULES)
  assert.equal(refused(), 'admin')
  assert.throws(() => reception.authorize({ default: 'all' as 'deny' }), { code: 'INMESH_CONFIG' })
  assert.equal(refused(), 'admin')
  reception.authorize({ default: 'deny' })
  assert.equal(refused(), 'default')
  reception.authorize(undefined)
  assert.equal(refused(), undefined)
})
