import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { slowStart } from '../../../src/balancer/around/slow-start.ts'
import { p2c } from '../../../src/balancer/p2c.ts'
import { random } from '../../../src/balancer/random.ts'
import { roundRobin } from '../../../src/balancer/round-robin.ts'
import type { Endpoint } from '../../../src/core/endpoint.ts'
import { balancerConformance, DrivenBalancer, near } from '../conformance.ts'

balancerConformance('p2c with slow start', slowStart({}, p2c()))
balancerConformance('random with slow start', slowStart({}, random()), { weighted: true })

describe('slow start', () => {
  test('holds nobody of the first set back', () => {
    const { driven, newcomer } = joined(Number.NEGATIVE_INFINITY)

    near(picksOf(driven, newcomer), 1_000, 0.15)
  })

  test('gives a new endpoint a tenth of its share at first, half of it at half time, all of it after 10 s', () => {
    const { driven, newcomer } = joined()
    near(picksOf(driven, newcomer), 100, 0.4)

    driven.now += 5_000
    near(picksOf(driven, newcomer), 500, 0.2)

    driven.now += 5_000
    near(picksOf(driven, newcomer), 1_000, 0.15)
  })

  test('takes the window and the least share from its options', () => {
    const { driven, newcomer } = joined(1_000, { windowMs: 1_000, minShare: 0.5 })
    near(picksOf(driven, newcomer), 500, 0.2)

    driven.now += 1_000
    near(picksOf(driven, newcomer), 1_000, 0.15)
  })

  test('gives a new endpoint all calls when there is no other', () => {
    const driven = new DrivenBalancer(slowStart({}, random()))
    const [only] = driven.update(driven.join(1, () => ({}), driven.now))

    for (let i = 0; i < 50; i++) assert.equal(driven.pick(), only)
  })

  test('sends a resend to a new endpoint rather than where it failed', () => {
    const driven = new DrivenBalancer(slowStart({}, random()))
    const [old] = driven.join(1) as [Endpoint]
    const [newcomer] = driven.join(1, () => ({}), driven.now) as [Endpoint]
    driven.update([old, newcomer])

    for (let i = 0; i < 50; i++) assert.equal(driven.pick(old), newcomer)
  })

  test('shares evenly among new endpoints when all are new', () => {
    const driven = new DrivenBalancer(slowStart({}, random()))
    const endpoints = driven.update(driven.join(4, () => ({}), driven.now))

    for (const endpoint of endpoints) near(picksOf(driven, endpoint, 8_000), 2_000, 0.15)
  })

  test('measures as its balancer does', () => {
    const runtime = new DrivenBalancer(random()).runtime

    assert.equal(slowStart({}, p2c())(runtime).meter?.().cost(0), 30)
    assert.equal(slowStart({}, roundRobin())(runtime).meter, undefined)
  })

  test('says what it expects of its options', () => {
    assert.throws(() => slowStart({ windowMs: 0 }, p2c()), { code: 'INMESH_CONFIG', message: /^slowStart\.windowMs: / })
    assert.throws(() => slowStart({ minShare: 2 }, p2c()), {
      message: /^slowStart\.minShare: expected a number from 0\.001 to 1, got 2$/,
    })
    assert.throws(() => slowStart({}, 'p2c' as never), { message: 'slowStart: expected a balancer, got "p2c"' })
  })
})

/** Nine endpoints, and one that joins now. */
function joined(since = 1_000, options = {}): { driven: DrivenBalancer; newcomer: Endpoint } {
  const driven = new DrivenBalancer(slowStart(options, random()))
  const [newcomer] = driven.join(1, () => ({}), since) as [Endpoint]
  driven.update([...driven.join(9), newcomer])
  return { driven, newcomer }
}

function picksOf(driven: DrivenBalancer, endpoint: Endpoint, picks = 10_000): number {
  return Array.from({ length: picks }, () => driven.pick()).filter((e) => e === endpoint).length
}
