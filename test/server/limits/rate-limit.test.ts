import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { clientKey } from '../../../src/server/limits/client-key.ts'
import { rateLimit } from '../../../src/server/limits/rate-limit.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'
import { PlainInbound } from '../support/plain-inbound.ts'

function limited(options: Parameters<typeof rateLimit>[0]) {
  const { clock } = virtualRuntime()
  const limit = rateLimit(options)(virtualRuntime())
  const ask = (address = '10.0.0.7') => limit.admit(new PlainInbound(clock, { address }), clock.now())
  const admitted = (count: number, address?: string) =>
    Array.from({ length: count }, () => ask(address)).filter((refusal) => refusal === undefined).length
  return { clock, ask, admitted }
}

test('admits a burst, then one for each interval', () => {
  const { clock, admitted } = limited({ perSecond: 10, burst: 5 })

  assert.equal(admitted(20), 5)
  clock.advance(99)
  assert.equal(admitted(20), 0)
  clock.advance(1)
  assert.equal(admitted(20), 1)
  clock.advance(10_000)
  assert.equal(admitted(20), 5)
})

test('says after how long the next would be admitted, and keeps its word', () => {
  const { clock, ask, admitted } = limited({ perSecond: 10, burst: 2 })
  admitted(2)
  clock.advance(30)

  const refusal = ask()
  assert.deepEqual(refusal?.reason, 'rate_limited')
  assert.ok(Math.abs((refusal?.retryAfterMs ?? 0) - 70) < 1e-6)
  clock.advance(70)

  assert.equal(ask(), undefined)
})

test('counts each client by itself', () => {
  const { admitted } = limited({ perSecond: 10, burst: 5 })

  assert.equal(admitted(20, '10.0.0.1'), 5)
  assert.equal(admitted(20, '10.0.0.2'), 5)
})

test('never admits more than the burst and the rate together', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 200 }),
      (perSecond, burst, gaps) => {
        const { clock, ask } = limited({ perSecond, burst })
        let admitted = 0
        for (const gap of gaps) {
          clock.advance(gap)
          if (ask() === undefined) admitted++
        }
        return admitted <= burst + (clock.now() * perSecond) / 1_000 + 1e-6
      },
    ),
  )
})

test('remembers only so many clients, and whoever it forgets begins anew', () => {
  const { admitted } = limited({ perSecond: 1, burst: 1, maxClients: 100 })
  admitted(1, 'first')
  assert.equal(admitted(1, 'first'), 0)

  for (let i = 0; i < 1_000; i++) admitted(1, `10.1.${i >> 8}.${i & 255}`)

  assert.equal(admitted(1, 'first'), 1)
})

test('remembers a client that keeps being refused, whoever else comes', () => {
  const { admitted } = limited({ perSecond: 1, burst: 1, maxClients: 100 })
  admitted(1, 'first')

  let again = 0
  for (let i = 0; i < 1_000; i++) {
    admitted(1, `10.1.${i >> 8}.${i & 255}`)
    again += admitted(1, 'first')
  }

  assert.equal(again, 0)
})

describe('a client', () => {
  const { clock } = virtualRuntime()
  const key = (address: string, identity?: string) =>
    clientKey(new PlainInbound(clock, identity === undefined ? { address } : { address, identity }))

  test('is who its certificate says', () => {
    assert.equal(key('10.0.0.7', 'spiffe://mesh/web'), 'spiffe://mesh/web')
  })

  test('is its address', () => {
    assert.equal(key('10.0.0.7'), '10.0.0.7')
  })

  test('is its network when it has 2^64 addresses', () => {
    assert.equal(key('2001:db8:1:2:3:4:5:6'), '2001:db8:1:2')
    assert.equal(key('2001:0DB8:1:2::9'), '2001:db8:1:2')
    assert.equal(key('2001:db8::1'), '2001:db8:0:0')
    assert.equal(key('::1'), '0:0:0:0')
    assert.equal(key('fe80::1%eth0'), 'fe80:0:0:0')
  })
})

test('checks its options', () => {
  assert.throws(() => rateLimit({ perSecond: 0 }), /rateLimit\.perSecond: expected a number from 0.001 to 1000000, got 0/)
  assert.throws(() => rateLimit({ burst: 1.5 }), /rateLimit\.burst: expected an integer/)
})
