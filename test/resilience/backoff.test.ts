import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fullJitter } from '../../src/resilience/backoff.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

/** A runtime whose chance always comes out the same. */
function certain(chance: number) {
  return { ...virtualRuntime(), random: () => chance }
}

test('doubles its limit from 25 ms to 250 ms', () => {
  const backoff = fullJitter()(certain(1))

  assert.deepEqual([1, 2, 3, 4, 5, 6].map(backoff), [25, 50, 100, 200, 250, 250])
})

test('may not wait at all', () => {
  const backoff = fullJitter()(certain(0))

  assert.deepEqual([1, 2, 3].map(backoff), [0, 0, 0])
})

test('doubles from 50 ms without a bound in sight, as the table of the AWS SDKs has it', () => {
  const backoff = fullJitter({ minMs: 50, maxMs: 20_000 })(certain(1))

  assert.deepEqual([1, 2, 3, 4].map(backoff), [50, 100, 200, 400])
})

test('waits between nothing and its limit, for any resend and any chance', () => {
  const limits = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 100_000 }))
  fc.assert(
    fc.property(limits, fc.integer({ min: 1, max: 5_000 }), fc.integer(), ([a, b], nth, seed) => {
      const [minMs, maxMs] = [Math.min(a, b), Math.max(a, b)]
      const wait = fullJitter({ minMs, maxMs })(virtualRuntime(seed))(nth)

      assert.equal(wait >= 0 && wait <= maxMs && wait <= minMs * 2 ** (nth - 1), true)
    }),
  )
})

test('spreads evenly', () => {
  const backoff = fullJitter({ minMs: 100, maxMs: 100 })(virtualRuntime())

  const waits = Array.from({ length: 10_000 }, () => backoff(1))

  for (let tenth = 0; tenth < 100; tenth += 10) {
    const share = waits.filter((ms) => ms >= tenth && ms < tenth + 10).length
    assert.equal(Math.abs(share - 1_000) < 150, true)
  }
})

test('refuses a longest wait below the shortest', () => {
  assert.throws(() => fullJitter({ maxMs: 10 }), {
    code: 'INMESH_CONFIG',
    message: 'fullJitter.maxMs: expected at least minMs, which is 25, got 10',
  })
})
