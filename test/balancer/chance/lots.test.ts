import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Lots } from '../../../src/balancer/chance/lots.ts'
import { seeded } from '../../support/virtual-time.ts'
import { near } from '../conformance.ts'

describe('lots', () => {
  test('fall on each number from 0 to n - 1 equally often, and on no other', () => {
    for (const n of [2, 3, 10, 1_000]) {
      const lots = new Lots({ random: seeded(n) })
      const counts = new Array<number>(n).fill(0)
      for (let i = 0; i < n * 2_000; i++) {
        const drawn = lots.below(n)
        counts[drawn] = (counts[drawn] as number) + 1
      }

      assert.equal(counts.length, n)
      for (const count of counts) near(count, 2_000, 0.12)
    }
  })

  test('fall on each pair of numbers equally often', () => {
    const lots = new Lots({ random: seeded(1) })
    const counts = new Map<number, number>()
    for (let i = 0; i < 100_000; i++) {
      const pair = lots.below(10) * 10 + lots.below(10)
      counts.set(pair, (counts.get(pair) ?? 0) + 1)
    }

    assert.equal(counts.size, 100)
    for (const count of counts.values()) near(count, 1_000, 0.15)
  })

  test('come true with the given probability', () => {
    const lots = new Lots({ random: seeded(1) })
    for (const p of [0, 0.1, 0.5, 1]) {
      const hits = Array.from({ length: 10_000 }, () => lots.chance(p)).filter(Boolean).length

      near(hits, p * 10_000, 0.1)
    }
  })

  test('are the same for the same seed, and others for another', () => {
    const series = [1, 1, 2].map((seed) => {
      const lots = new Lots({ random: seeded(seed) })
      return Array.from({ length: 20 }, () => lots.below(1_000))
    })

    assert.deepEqual(series[0], series[1])
    assert.notDeepEqual(series[0], series[2])
  })
})
