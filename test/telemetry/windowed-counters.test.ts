import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { WindowedCounters } from '../../src/telemetry/windowed-counters.ts'

describe('windowed counters', () => {
  test('remember this period and the one before, and the total for good', () => {
    const counters = new WindowedCounters(2, 10)

    counters.add(0, 10)
    counters.add(0, 11)
    counters.add(1, 11)

    assert.deepEqual([...counters.recent(11)], [2, 1])
    assert.deepEqual([...counters.recent(12)], [1, 1])
    assert.deepEqual([...counters.recent(13)], [0, 0])
    assert.deepEqual([...counters.totals()], [2, 1])
  })

  test('are not used by being read', () => {
    const counters = new WindowedCounters(1, 3)

    counters.recent(9)
    counters.totals()

    assert.equal(counters.period, 3)
  })

  test('agree with a list of everything that was counted, whatever the order of periods', () => {
    const steps = fc.array(fc.record({ index: fc.nat(3), later: fc.nat(3) }), { maxLength: 60 })
    fc.assert(
      fc.property(steps, fc.nat(3), (list, readLater) => {
        const counters = new WindowedCounters(4, 0)
        const seen: { index: number; period: number }[] = []
        let period = 0
        for (const { index, later } of list) {
          period += later
          counters.add(index, period)
          seen.push({ index, period })
        }
        const now = period + readLater

        for (let index = 0; index < 4; index++) {
          const own = seen.filter((s) => s.index === index)
          assert.equal(counters.totals()[index], own.length)
          assert.equal(counters.recent(now)[index], own.filter((s) => s.period >= now - 1).length)
        }
      }),
    )
  })
})
