import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { OK } from '../../src/core/verdict.ts'
import { CALL, HandGate, SmallService } from './small-service.ts'

function hedged(small: SmallService, used: readonly Endpoint[]) {
  return small.service.hedge(CALL, small.route, 2, used)
}

test('a hedge goes to none of the endpoints that its call uses, whatever the balancer would pick', () => {
  const small = new SmallService()
  small.update('a', 'b', 'c', 'd')
  const [a, b, c, d] = small.service.endpoints as [Endpoint, Endpoint, Endpoint, Endpoint]

  for (let i = 0; i < 20; i++) {
    const attempt = hedged(small, [a, b, c])
    assert.equal(attempt?.endpoint, d)
    assert.equal(attempt?.hedge, true)
    attempt?.end(OK)
  }
  assert.equal(hedged(small, [a, b, c, d]), undefined)
  assert.equal(small.service.inFlight, 0)
})

test('a hedge takes a permit of its endpoint’s gate and gives it back', () => {
  const gates: HandGate[] = []
  const small = new SmallService({ gate: () => gates[gates.push(new HandGate()) - 1] as HandGate })
  small.update('a', 'b')
  const [a, b] = small.service.endpoints as [Endpoint, Endpoint]

  const attempt = hedged(small, [a])
  assert.equal((b.gate as HandGate).permits, 1)
  attempt?.end(OK)
  assert.equal((b.gate as HandGate).permits, 0)
  ;(b.gate as HandGate).open = false

  assert.equal(hedged(small, [a]), undefined)
  assert.equal((a.gate as HandGate).told.length, 0)
})

test('no hedge is sent to an endpoint that is used for want of others', () => {
  const small = new SmallService()
  small.update('a', 'b')
  const [a, b] = small.service.endpoints as [Endpoint, Endpoint]
  b.forced = true

  assert.equal(hedged(small, [a]), undefined)
})

test('a service without endpoints has none for a hedge', () => {
  assert.equal(hedged(new SmallService(), []), undefined)
})
