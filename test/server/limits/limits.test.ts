import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fixedLimit } from '../../../src/server/limits/fixed-limit.ts'
import { gradient } from '../../../src/server/limits/gradient.ts'
import { vegas } from '../../../src/server/limits/vegas.ts'

describe('vegas', () => {
  test('grows by 6 while nothing queues', () => {
    const limit = vegas({ initial: 10, max: 20 })()

    limit.sample(10, 10, false)
    assert.equal(limit.value, 10)
    limit.sample(10, 11, false)

    assert.equal(limit.value, 16)
  })

  test('falls by 1 when too many queue', () => {
    const limit = vegas({ initial: 10, max: 20 })()

    limit.sample(10, 10, false)
    limit.sample(50, 11, false)

    assert.equal(limit.value, 9)
  })

  test('stays when some queue', () => {
    const limit = vegas({ initial: 10, max: 20 })()

    limit.sample(10, 10, false)
    limit.sample(14, 14, false)

    assert.equal(limit.value, 10)
  })

  test('takes larger steps when it is large', () => {
    const limit = vegas({ initial: 10_000, max: 20_000 })()

    limit.sample(10_000, 5_000, false)
    assert.equal(limit.value, 10_000)
    limit.sample(10_000, 6_000, false)

    assert.equal(limit.value, 10_024)
  })

  test('learns nothing of the limit when far from it', () => {
    const limit = vegas({ initial: 100, max: 200 })()

    limit.sample(10, 10, false)
    limit.sample(10, 49, false)

    assert.equal(limit.value, 100)
  })

  test('falls by its backoff when time ran out, smoothed', () => {
    const smooth = vegas({ initial: 100, max: 200, backoff: 0.5, smoothing: 0.5 })()
    const abrupt = vegas({ initial: 100, max: 200, backoff: 0.5 })()

    const values = [smooth, smooth, abrupt, abrupt].map((limit) => {
      limit.sample(10, 100, true)
      return limit.value
    })

    assert.deepEqual(values, [75, 56, 50, 25])
  })

  test('stays between 1 and its maximum', () => {
    const limit = vegas({ initial: 10, max: 20 })()

    for (let i = 0; i < 50; i++) limit.sample(10, 20, false)
    assert.equal(limit.value, 20)
    for (let i = 0; i < 500; i++) limit.sample(10, 20, true)

    assert.equal(limit.value, 1)
  })
})

describe('gradient', () => {
  test('grows while answers are as fast as ever', () => {
    const limit = gradient({ initial: 20 })()

    for (let i = 0; i < 100; i++) limit.sample(10, limit.value, false)

    assert.ok(limit.value > 80, `${limit.value}`)
  })

  test('falls when answers become slower than in the long run', () => {
    const limit = gradient({ initial: 200 })()
    for (let i = 0; i < 50; i++) limit.sample(10, 10, false)

    for (let i = 0; i < 20; i++) limit.sample(100, 200, false)

    assert.ok(limit.value < 60, `${limit.value}`)
    assert.ok(limit.value >= 10)
  })

  test('tolerates what its tolerance says', () => {
    const limit = gradient({ initial: 100, tolerance: 2 })()
    for (let i = 0; i < 50; i++) limit.sample(10, 10, false)

    limit.sample(19, 100, false)

    assert.ok(limit.value >= 100)
  })

  test('recovers when an overload is over', () => {
    const limit = gradient({ initial: 100 })()
    for (let i = 0; i < 700; i++) limit.sample(100, limit.value, false)
    const before = limit.value

    for (let i = 0; i < 100; i++) limit.sample(10, limit.value, false)

    assert.ok(limit.value >= before)
  })

  test('learns nothing of the limit when far from it', () => {
    const limit = gradient({ initial: 100 })()

    for (let i = 0; i < 10; i++) limit.sample(10, 49, false)

    assert.equal(limit.value, 100)
  })
})

describe('the options of limits', () => {
  test('are checked', () => {
    assert.equal(fixedLimit({ requests: 7 })().value, 7)
    assert.throws(() => fixedLimit({ requests: 0 }), /fixedLimit\.requests: expected an integer >= 1, got 0/)
    assert.throws(() => vegas({ initial: 30, max: 20 }), /vegas\.initial: expected at most max, which is 20, got 30/)
    assert.throws(() => gradient({ min: 30 }), /gradient\.initial: expected from min, 30, to max, 1000, got 20/)
  })
})
