import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type RingHashOptions, ringHash } from '../../src/balancer/ring-hash.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { OK } from '../../src/core/verdict.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { balancerConformance, callTo, DrivenBalancer, near } from './conformance.ts'

balancerConformance('ring hash', ringHash(), { weighted: true })
balancerConformance('ring hash without a key', ringHash({ key: () => undefined }), { weighted: true })

describe('ring hash', () => {
  test('sends a key to the same endpoint, in every process', () => {
    const [here, there] = [1, 2].map((seed) => {
      const driven = new DrivenBalancer(ringHash(), seed)
      driven.update(driven.join(20))
      return Array.from({ length: 500 }, (_, i) => driven.pick(undefined, callTo(`/user/${i}`))?.name)
    })

    assert.deepEqual(here, there)
  })

  test('reads the path without its query', () => {
    const driven = ringOf({})

    for (let i = 0; i < 20; i++) {
      assert.equal(driven.pick(undefined, callTo(`/cart?${i}`)), driven.pick(undefined, callTo('/cart')))
    }
    assert.ok(spread(driven, (i) => callTo(`/cart/${i}`)) > 5)
  })

  test('reads a header', () => {
    const driven = ringOf({ key: { header: 'X-User' } })

    assert.equal(
      spread(driven, (i) => callTo(`/${i}`, { 'x-user': 'ann' })),
      1,
    )
    assert.ok(spread(driven, (i) => callTo('/', { 'x-user': `${i}` })) > 5)
  })

  test('asks a function', () => {
    const driven = ringOf({ key: (call) => call.path.slice(0, 3) })

    assert.equal(
      spread(driven, (i) => callTo(`/eu/${i}`)),
      1,
    )
  })

  test('sends a call without a key anywhere', () => {
    const driven = ringOf({ key: { header: 'x-user' } })

    assert.equal(
      spread(driven, () => callTo('/')),
      10,
    )
    assert.ok(spread(driven, () => callTo('/', { 'x-user': '' })) > 5)
  })

  test('moves a key only off an endpoint that leaves, and back when it returns', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), fc.nat(), (count, pick) => {
        const driven = new DrivenBalancer(ringHash())
        const endpoints = driven.update(driven.join(count))
        const leaver = endpoints[pick % count]
        const before = placesOf(driven)

        driven.update(endpoints.filter((e) => e !== leaver))
        placesOf(driven).forEach((place, i) => {
          if (before[i] !== leaver) assert.equal(place, before[i])
        })
        driven.update(endpoints)

        assert.deepEqual(placesOf(driven), before)
      }),
      { numRuns: 30 },
    )
  })

  test('moves a key only to an endpoint that joins', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), (count) => {
        const driven = new DrivenBalancer(ringHash())
        const endpoints = driven.update(driven.join(count))
        const before = placesOf(driven, 3_000)
        const [joiner] = driven.join(1) as [Endpoint]

        driven.update([...endpoints, joiner])

        const after = placesOf(driven, 3_000)
        assert.ok(after.every((place, i) => place === before[i] || place === joiner))
        near(after.filter((place) => place === joiner).length, after.length / (count + 1), 0.5)
      }),
      { numRuns: 30 },
    )
  })

  test('agrees with a process that has never seen the endpoints which left', () => {
    const [old, young] = [new DrivenBalancer(ringHash()), new DrivenBalancer(ringHash())]
    const all = old.update(old.join(10))
    old.update(all.slice(0, 6))
    young.update(young.join(6))

    assert.deepEqual(
      placesOf(old).map((e) => e?.name),
      placesOf(young).map((e) => e?.name),
    )
  })

  test('agrees with a process that knew all from the start, however they joined', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 40, max: 60 }),
        fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 6 }),
        (first, joins) => {
          const driven = new DrivenBalancer(ringHash(), 1)
          const all = driven.join(first)
          driven.update(all.slice())
          for (const count of joins) {
            all.push(...driven.join(count))
            driven.update(all.slice())
          }
          const fresh = ringHash()(virtualRuntime())
          fresh.update(all)

          for (let i = 0; i < 200; i++) {
            const call = callTo(`/user/${i}`)
            assert.equal(driven.pick(undefined, call), fresh.pick(call, 0, undefined))
          }
        },
      ),
    )
  })

  test('keeps to one endpoint when nearly all of the ring has gone', () => {
    const driven = new DrivenBalancer(ringHash())
    const all = driven.update(driven.join(500))
    const few = driven.update(all.slice(0, 3))

    const places = placesOf(driven)

    assert.deepEqual(new Set(places), new Set(few))
    assert.deepEqual(placesOf(driven), places)
  })

  test('divides keys evenly', () => {
    const driven = ringOf({})
    const counts = new Map<string, number>()
    for (const endpoint of placesOf(driven, 20_000)) counts.set(`${endpoint?.name}`, (counts.get(`${endpoint?.name}`) ?? 0) + 1)

    for (const count of counts.values()) near(count, 2_000, 0.25)
  })
})

describe('ring hash bounds loads', () => {
  test('to 1.25 times the mean, even if all calls have one key', () => {
    for (const [loadFactor, most] of [
      [undefined, 125],
      [2, 200],
    ] as const) {
      const driven = new DrivenBalancer(ringHash(loadFactor === undefined ? {} : { loadFactor }))
      const endpoints = driven.update(driven.join(10))

      for (let i = 0; i < 1_000; i++) driven.begin(undefined, callTo('/hot'))

      assert.equal(Math.max(...endpoints.map((e) => e.inFlight)), most)
    }
  })

  test('in proportion to weights', () => {
    const driven = new DrivenBalancer(ringHash())
    const [heavy] = driven.update(driven.join(4, (i) => ({ weight: i === 0 ? 5 : 1 })))
    const key = Array.from({ length: 50 }, (_, i) => callTo(`/${i}`)).find((call) => driven.pick(undefined, call) === heavy)

    for (let i = 0; i < 800; i++) driven.begin(undefined, key)

    assert.equal(heavy?.inFlight, (800 * 1.25 * 5) / 8)
  })

  test('but lets four calls of a key go together in a quiet process', () => {
    const driven = ringOf({})

    const picks = [1, 2, 3, 4, 5].map(() => driven.begin(undefined, callTo('/hot')))

    assert.equal(new Set(picks.slice(0, 4)).size, 1)
    assert.notEqual(picks[4], picks[0])
  })

  test('and brings a key home when its endpoint has room again', () => {
    const driven = ringOf({})
    const home = driven.begin(undefined, callTo('/hot'))
    for (let i = 0; i < 30; i++) driven.begin(undefined, callTo('/hot'))
    for (let i = 0; i < 31; i++) driven.finish(OK)

    assert.equal(driven.begin(undefined, callTo('/hot')), home)
  })

  test('and sends the resend of a key where its next home would be', () => {
    const driven = ringOf({})
    const home = driven.pick(undefined, callTo('/hot')) as Endpoint
    const next = driven.pick(home, callTo('/hot'))

    for (let i = 0; i < 10; i++) assert.equal(driven.pick(home, callTo('/hot')), next)
  })
})

test('ring hash says what it expects of its options', () => {
  for (const key of ['query', 7, {}, { header: '' }, { header: 'x y' }, { header: 'a', path: 'b' }, null]) {
    assert.throws(() => ringHash({ key } as RingHashOptions), {
      code: 'INMESH_CONFIG',
      message: /^ringHash\.key: expected 'path', { header: 'name' } or a function, got /,
    })
  }
  assert.throws(() => ringHash({ loadFactor: 1 }), {
    message: /^ringHash\.loadFactor: expected a number from 1.05 to 100, got 1$/,
  })
})

function ringOf(options: RingHashOptions): DrivenBalancer {
  const driven = new DrivenBalancer(ringHash(options))
  driven.update(driven.join(10))
  return driven
}

/** Over how many endpoints a hundred calls go. */
function spread(driven: DrivenBalancer, call: (i: number) => ReturnType<typeof callTo>): number {
  return new Set(Array.from({ length: 100 }, (_, i) => driven.pick(undefined, call(i)))).size
}

/** Where the calls of many keys go. */
function placesOf(driven: DrivenBalancer, keys = 500): (Endpoint | undefined)[] {
  return Array.from({ length: keys }, (_, i) => driven.pick(undefined, callTo(`/user/${i}`)))
}
