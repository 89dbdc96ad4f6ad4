import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  BUCKET_BOUNDS_S,
  BucketHistogram,
  exportedBuckets,
  Histogram,
  QUANTILE_ERROR,
  quantile,
  SLOTS,
  slotOf,
} from '../../src/telemetry/histogram.ts'

/** Latencies spread evenly over the orders of magnitude. */
const latency = fc.double({ min: Math.log(0.05), max: Math.log(600_000), noNaN: true }).map((x) => Math.min(600_000, Math.exp(x)))

describe('a histogram', () => {
  test('answers any quantile within 3 % of the true one', () => {
    fc.assert(
      fc.property(fc.array(latency, { minLength: 1, maxLength: 200 }), fc.double({ min: 0, max: 1, noNaN: true }), (list, q) => {
        const truth = [...list].sort((a, b) => a - b)[Math.max(1, Math.ceil(q * list.length)) - 1] as number
        const got = quantile(recorded(list).counts.totals(), q) as number

        assert.ok(Math.abs(got - truth) <= truth * QUANTILE_ERROR * (1 + 1e-9) || truth <= 0.05, `${got} for ${truth}`)
      }),
    )
  })

  test('puts a larger latency never into a smaller slot', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, noNaN: true }), fc.double({ min: 0, noNaN: true }), (a, b) => {
        const [less, more] = a <= b ? [a, b] : [b, a]
        assert.ok(slotOf(less) <= slotOf(more))
        assert.ok(slotOf(more) < SLOTS)
      }),
    )
  })

  test('gives exactly the exported buckets, whose bounds are inclusive', () => {
    const around = BUCKET_BOUNDS_S.flatMap((s) => [s * 1_000 * (1 - 1e-12), s * 1_000, s * 1_000 * (1 + 1e-12)])
    fc.assert(
      fc.property(fc.array(fc.oneof(latency, fc.constantFrom(...around)), { maxLength: 100 }), (list) => {
        const expected = new Array(BUCKET_BOUNDS_S.length + 1).fill(0)
        for (const ms of list) {
          const bucket = BUCKET_BOUNDS_S.findIndex((bound) => ms <= bound * 1_000)
          expected[bucket < 0 ? BUCKET_BOUNDS_S.length : bucket]++
        }
        const coarse = new BucketHistogram()
        for (const ms of list) coarse.record(ms)

        assert.deepEqual(exportedBuckets(recorded(list).counts.totals()), expected)
        assert.deepEqual([...coarse.counts], expected)
      }),
    )
  })

  test('keeps its counts exact and its sum true', () => {
    fc.assert(
      fc.property(fc.array(latency, { maxLength: 100 }), (list) => {
        const histogram = recorded(list)
        const sum = list.reduce((a, b) => a + b, 0)

        assert.equal(
          histogram.counts.totals().reduce((a, b) => a + b, 0),
          list.length,
        )
        assert.ok(Math.abs(histogram.sumMs - sum) <= 1e-9 * sum)
      }),
    )
  })

  test('has no quantile when nothing was recorded', () => {
    assert.equal(quantile(new Histogram(0).counts.totals(), 0.5), null)
  })

  test('counts what is out of range at its ends, and takes nonsense for 0', () => {
    const histogram = recorded([-1, 0, Number.NaN, 0.01])
    assert.equal(quantile(histogram.counts.totals(), 1), 0.025)
    assert.equal(histogram.sumMs, 0.01)

    assert.equal(quantile(recorded([700_000, Number.POSITIVE_INFINITY]).counts.totals(), 0.5), 600_000)
  })

  test('is small', () => {
    assert.ok(SLOTS <= 300, `${SLOTS} slots`)
  })
})

function recorded(list: readonly number[]): Histogram {
  const histogram = new Histogram(0)
  for (const ms of list) histogram.record(ms, 0)
  return histogram
}
