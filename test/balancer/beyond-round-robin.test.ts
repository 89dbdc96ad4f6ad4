import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failing, simulate, slow, slowAmongErrors } from '../../bench/balance.ts'
import { leastRequest } from '../../src/balancer/least-request.ts'
import { p2c } from '../../src/balancer/p2c.ts'
import { roundRobin } from '../../src/balancer/round-robin.ts'

const P99 = 4

describe('one of eleven endpoints is ten times slower for half a minute:', () => {
  test('peak EWMA answers 99.9 % of the calls within a second', () => {
    const { success, percentilesMs } = simulate(p2c(), slow, 1)

    assert.ok(success >= 0.999, `${success}`)
    assert.ok((percentilesMs[P99] as number) < 205)
  })

  test('least request answers more in time than round robin, and fewer than peak EWMA', () => {
    const [blind, counting, measuring] = [roundRobin(), leastRequest(), p2c()].map((f) => simulate(f, slow, 1).success) as [
      number,
      number,
      number,
    ]

    assert.ok(blind < 0.96 && blind < counting && counting < measuring, `${blind} < ${counting} < ${measuring}`)
  })

  test('peak EWMA still sees it where one call in twenty fails anywhere', () => {
    assert.ok(simulate(p2c(), slowAmongErrors, 1).troubled < 0.004)
  })

  test('the same seed gives the same result', () => {
    assert.deepEqual(simulate(p2c(), slow, 7), simulate(p2c(), slow, 7))
  })
})

test('an endpoint that fails in a millisecond attracts nobody', () => {
  const { success, troubled } = simulate(p2c(), failing, 1)

  assert.ok(success >= 0.999 && troubled < 0.002, `${success}, ${troubled}`)
})
