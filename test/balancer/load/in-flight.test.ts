import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inFlight } from '../../../src/balancer/load/in-flight.ts'
import type { LoadMeter } from '../../../src/core/load.ts'
import { CANCELLED, CONNECT_FAILED, OK, OVERLOADED, type Verdict } from '../../../src/core/verdict.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'

describe('calls in flight', () => {
  test('cost one each, and one for the next', () => {
    const meter = meterOf()
    assert.equal(meter.cost(0), 1)

    meter.start(0)
    meter.start(0)

    assert.equal(meter.cost(0), 3)
    meter.sample(5, 5, OK)
    assert.equal(meter.cost(5), 3, 'an answer that is still being read is in flight')
    meter.end(6)
    meter.end(6)
    assert.equal(meter.cost(6), 1)
  })

  test('go on counting when they have failed, and fade with the penalty', () => {
    const meter = meterOf()
    for (let i = 0; i < 3; i++) asked(meter, 0, CONNECT_FAILED)

    assert.equal(meter.cost(0), 4)
    assert.equal(meter.cost(5_000), 1 + 3 / Math.E)
    asked(meter, 5_000, OVERLOADED)
    assert.equal(meter.cost(5_000), 2 + 3 / Math.E)
  })

  test('count for as long as the server asks, up to 300 s', () => {
    for (const [asking, counted] of [
      [1_000, 1],
      [50_000, 10],
      [86_400_000, 60],
    ] as const) {
      const meter = meterOf()
      asked(meter, 0, { ...OVERLOADED, retryAfterMs: asking })

      assert.equal(meter.cost(0), 1 + counted)
    }
  })

  test('are forgotten when the caller left', () => {
    const meter = meterOf()

    asked(meter, 0, CANCELLED)

    assert.equal(meter.cost(0), 1)
  })

  test('say what they expect of their options', () => {
    assert.throws(() => inFlight({ penaltyMs: 0 }), {
      code: 'INMESH_CONFIG',
      message: /^inFlight\.penaltyMs: expected milliseconds above 0/,
    })
  })
})

function meterOf(): LoadMeter {
  return inFlight()(virtualRuntime())()
}

function asked(meter: LoadMeter, now: number, verdict: Verdict): void {
  meter.start(now)
  meter.sample(now, 1, verdict)
  meter.end(now)
}
