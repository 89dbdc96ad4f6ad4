import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { roundRobin } from '../../src/balancer/round-robin.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { balancerConformance, DrivenBalancer, near } from './conformance.ts'

balancerConformance('round robin', roundRobin(), { weighted: true })

describe('round robin', () => {
  test('gives each endpoint its turn', () => {
    const driven = new DrivenBalancer(roundRobin())
    const endpoints = driven.update(driven.join(5))

    for (let round = 0; round < 3; round++) {
      assert.equal(new Set(endpoints.map(() => driven.pick())).size, 5)
    }
  })

  test('begins somewhere else in each process', () => {
    const first = [1, 2, 3, 4, 5, 6].map((seed) => {
      const driven = new DrivenBalancer(roundRobin(), seed)
      driven.update(driven.join(100))
      return driven.pick()?.name
    })

    assert.ok(new Set(first).size > 3)
  })

  test('goes on where it was when the set changes', () => {
    const driven = new DrivenBalancer(roundRobin())
    const endpoints = driven.update(driven.join(50)) as Endpoint[]
    const before = endpoints.indexOf(driven.pick() as Endpoint)

    driven.update([...endpoints, ...driven.join(1)])

    assert.equal(endpoints.indexOf(driven.pick() as Endpoint), before + 1)
  })

  test('keeps weights over one round, to a tenth of the lightest', () => {
    const weights = [1, 2, 3, 1.5]
    const counts = turnsOf(weights, 75)

    assert.deepEqual(counts, [10, 20, 30, 15])
  })

  test('spreads the turns of a heavy endpoint over the round', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 3, maxLength: 20 }), fc.nat(), (weights, seed) => {
        const driven = new DrivenBalancer(roundRobin(), seed)
        const endpoints = driven.update(driven.join(weights.length, (i) => ({ weight: weights[i] as number })))
        const sum = weights.reduce((total, weight) => total + weight)
        const picks = Array.from({ length: 20 * sum }, () => driven.pick())

        endpoints.forEach((endpoint, i) => {
          const gap = sum / (weights[i] as number)
          assert.ok(longestGap(picks, endpoint) <= 2 * gap + weights.length, `gap ${longestGap(picks, endpoint)}, fair ${gap}`)
        })
      }),
    )
  })

  test('spreads the turns of many light endpoints among those of a heavy one', () => {
    const driven = new DrivenBalancer(roundRobin())
    const [heavy] = driven.update(driven.join(51, (i) => ({ weight: i === 0 ? 50 : 1 }))) as [Endpoint]
    const picks = Array.from({ length: 2_000 }, () => driven.pick())

    assert.ok(longestGap(picks, heavy) <= 5, `${longestGap(picks, heavy)}`)
  })

  test('bounds the round however uneven the weights, and leaves nobody out', () => {
    const counts = turnsOf([1_000_000, 1, 1, 1], 70_000)

    assert.ok(counts.every((count) => count >= 1))
    near(counts[0] as number, 70_000, 0.001)
  })

  test('has no options', () => {
    assert.throws(() => roundRobin({ weighted: true } as never), {
      code: 'INMESH_CONFIG',
      message: /^roundRobin\.weighted: unknown option/,
    })
  })
})

function turnsOf(weights: readonly number[], picks: number): number[] {
  const driven = new DrivenBalancer(roundRobin())
  const endpoints = driven.update(driven.join(weights.length, (i) => ({ weight: weights[i] as number })))
  const picked = Array.from({ length: picks }, () => driven.pick())
  return endpoints.map((endpoint) => picked.filter((e) => e === endpoint).length)
}

function longestGap(picks: readonly unknown[], endpoint: Endpoint): number {
  let longest = 0
  let last = picks.indexOf(endpoint)
  for (let at = picks.indexOf(endpoint, last + 1); at >= 0; at = picks.indexOf(endpoint, at + 1)) {
    longest = Math.max(longest, at - last)
    last = at
  }
  return longest
}
