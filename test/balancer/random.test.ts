import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { random } from '../../src/balancer/random.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { balancerConformance, DrivenBalancer, near } from './conformance.ts'

balancerConformance('random', random(), { weighted: true })

describe('random', () => {
  test('draws equal endpoints equally often', () => {
    const counts = countsOf(Array(10).fill(1), 50_000)

    for (const count of counts) near(count, 5_000, 0.08)
  })

  test('draws by weight, whatever the weights', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0.5, max: 20, noNaN: true }), { minLength: 2, maxLength: 6 }), (weights) => {
        const sum = weights.reduce((total, weight) => total + weight)
        countsOf(weights, 20_000).forEach((count, i) => {
          const expected = (20_000 * (weights[i] as number)) / sum
          assert.ok(Math.abs(count - expected) < 6 * Math.sqrt(expected) + 1, `${count} of ${expected}`)
        })
      }),
      { numRuns: 20 },
    )
  })

  test('draws the others by weight when one is to be avoided', () => {
    const driven = new DrivenBalancer(random())
    const [avoided, one, three] = driven.update(driven.join(3, (i) => ({ weight: [1, 1, 3][i] as number }))) as Endpoint[]
    const picks = Array.from({ length: 20_000 }, () => driven.pick(avoided))

    near(picks.filter((e) => e === one).length, 5_000, 0.1)
    near(picks.filter((e) => e === three).length, 15_000, 0.1)
  })

  test('has no options', () => {
    assert.throws(() => random({ seed: 1 } as never), { code: 'INMESH_CONFIG', message: /^random\.seed: unknown option/ })
  })
})

function countsOf(weights: readonly number[], picks: number): number[] {
  const driven = new DrivenBalancer(random())
  const endpoints = driven.update(driven.join(weights.length, (i) => ({ weight: weights[i] as number })))
  const counts = new Array<number>(weights.length).fill(0)
  for (let i = 0; i < picks; i++) {
    const at = endpoints.indexOf(driven.pick() as Endpoint)
    counts[at] = (counts[at] as number) + 1
  }
  return counts
}
