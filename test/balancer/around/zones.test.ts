import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { slowStart } from '../../../src/balancer/around/slow-start.ts'
import { type ZonesOptions, zones } from '../../../src/balancer/around/zones.ts'
import { p2c } from '../../../src/balancer/p2c.ts'
import { random } from '../../../src/balancer/random.ts'
import type { Endpoint } from '../../../src/core/endpoint.ts'
import { balancerConformance, DrivenBalancer, near } from '../conformance.ts'

balancerConformance('p2c by zones', zones({ zone: 'a' }, p2c()))
balancerConformance('p2c by zones with slow start', zones({ zone: 'a', minEndpoints: 1 }, slowStart({}, p2c())))
balancerConformance('random by zones, elsewhere', zones({ zone: 'c' }, random()), { weighted: true })

describe('zones', () => {
  test('keep calls in the zone', () => {
    const { driven, ours } = twoZones()

    assert.equal(stayed(driven, ours), 1)
  })

  test('keep all calls while 70 % of the zone is ready', () => {
    const { driven, ours, theirs } = twoZones()
    driven.update([...ours.slice(0, 7), ...theirs])

    assert.equal(stayed(driven, ours), 1)
  })

  test('keep calls in proportion to what is left of the zone below that', () => {
    const { driven, ours, theirs } = twoZones()
    driven.update([...ours.slice(0, 4), ...theirs])

    // 0.4 / 0.7 stay, and 4 of 14 endpoints of the rest are ours.
    near(stayed(driven, ours), 4 / 7 + (3 / 7) * (4 / 14), 0.05)
  })

  test('spill over to all when nothing is left of the zone', () => {
    const { driven, ours, theirs } = twoZones()
    driven.update(theirs)

    assert.equal(stayed(driven, ours), 0)
    assert.ok(driven.pick() !== undefined)
  })

  test('come back when the zone does', () => {
    const { driven, ours, theirs } = twoZones()
    driven.update([...ours.slice(0, 2), ...theirs])
    driven.update([...ours, ...theirs])

    assert.equal(stayed(driven, ours), 1)
  })

  test('tell an endpoint that has left the service from one that is unwell', () => {
    const { driven, ours, theirs } = twoZones()
    driven.update([...ours.slice(0, 4), ...theirs])
    for (const endpoint of ours.slice(4)) endpoint.leave()

    assert.equal(stayed(driven, ours), 1)
  })

  test('do not divide a service of fewer than six', () => {
    const driven = new DrivenBalancer(zones({ zone: 'a' }, random()))
    const endpoints = driven.join(6, (i) => ({ zone: i < 3 ? 'a' : 'b' }))
    driven.update(endpoints.slice(0, 5))
    near(stayed(driven, endpoints.slice(0, 3)), 3 / 5, 0.1)

    driven.update(endpoints)

    assert.equal(stayed(driven, endpoints.slice(0, 3)), 1)
  })

  test('send everything everywhere from a zone without endpoints', () => {
    const { driven, ours } = twoZones({ zone: 'c' })

    near(stayed(driven, ours), 0.5, 0.1)
  })

  test('send a resend to another zone when ours has no other endpoint', () => {
    const driven = new DrivenBalancer(zones({ zone: 'a', minEndpoints: 1 }, random()))
    const [ours, theirs] = driven.update(driven.join(2, (i) => ({ zone: i === 0 ? 'a' : 'b' })))

    for (let i = 0; i < 20; i++) assert.equal(driven.pick(ours), theirs)
  })

  test('share what is learnt of an endpoint between both views', () => {
    const { driven, ours } = twoZones({ zone: 'a', minShare: 0.1 }, p2c)
    const [first, ...others] = ours as [Endpoint, ...Endpoint[]]
    driven.update([first, others[0] as Endpoint, ...driven.join(8, () => ({ zone: 'b' }))])

    assert.equal(first.meter.cost(0), 30)
    first.meter.start(0)
    assert.equal(first.meter.cost(0), 60)
  })

  test('say what they expect of their options', () => {
    assert.throws(() => zones({} as ZonesOptions, p2c()), {
      code: 'INMESH_CONFIG',
      message: 'zones.zone: expected a string that is not empty, got undefined',
    })
    assert.throws(() => zones({ zone: '' }, p2c()), { message: /^zones\.zone: expected a string that is not empty, got ""$/ })
    assert.throws(() => zones({ zone: 'a', minShare: 0 }, p2c()), { message: /^zones\.minShare: / })
    assert.throws(() => zones({ zone: 'a' }, undefined as never), { message: 'zones: expected a balancer, got undefined' })
  })
})

function twoZones(
  options: Partial<ZonesOptions> = {},
  inner = random,
): { driven: DrivenBalancer; ours: Endpoint[]; theirs: Endpoint[] } {
  const driven = new DrivenBalancer(zones({ zone: 'a', ...options }, inner()))
  const ours = driven.join(10, () => ({ zone: 'a' }))
  const theirs = driven.join(10, () => ({ zone: 'b' }))
  driven.update([...ours, ...theirs])
  return { driven, ours, theirs }
}

/** Share of calls that went to these endpoints. */
function stayed(driven: DrivenBalancer, ours: readonly Endpoint[]): number {
  const picks = Array.from({ length: 5_000 }, () => driven.pick())
  return picks.filter((endpoint) => ours.includes(endpoint as Endpoint)).length / picks.length
}
