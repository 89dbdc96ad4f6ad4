import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type PeakEwmaOptions, peakEwma } from '../../../src/balancer/load/peak-ewma.ts'
import type { LoadMeter } from '../../../src/core/load.ts'
import {
  CANCELLED,
  CONNECT_FAILED,
  ERROR_STATUS,
  OK,
  OVERLOADED,
  REASONS,
  TRY_TIMEOUT,
  UNAVAILABLE,
  type Verdict,
} from '../../../src/core/verdict.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'

describe('peak EWMA', () => {
  test('believes in 30 ms until the first answer, however long that is coming', () => {
    const meter = meterOf()

    assert.equal(meter.cost(0), 30)
    assert.equal(meter.cost(60_000), 30)
    assert.equal(meterOf({ defaultRttMs: 100 }).cost(0), 100)
  })

  test('puts the first answer in the place of the guess', () => {
    assert.equal(answered(meterOf(), 0, 5).cost(0), 5)
    assert.equal(answered(meterOf(), 0, 200).cost(0), 200)
  })

  test('costs as many times as there are calls in flight, and one', () => {
    const meter = answered(meterOf(), 0, 5)
    for (let i = 0; i < 3; i++) meter.start(0)

    assert.equal(meter.cost(0), 20)

    meter.sample(0, 5, OK)
    assert.equal(meter.cost(0), 20, 'an answer that is still being read is in flight')
    meter.end(0)
    assert.equal(meter.cost(0), 15)
  })

  test('jumps to a slower answer at once', () => {
    const meter = answered(answered(meterOf(), 0, 10), 1, 500)

    assert.equal(meter.cost(1), 500)
  })

  test('comes down to faster answers with the time constant', () => {
    const meter = answered(answered(meterOf(), 0, 100), 10_000, 50)

    close(meter.cost(10_000), 100 / Math.E + 50 * (1 - 1 / Math.E))
  })

  test('takes decayMs for the time constant', () => {
    const meter = answered(meterOf({ decayMs: 1_000 }), 0, 100)

    close(meter.cost(1_000), 100 / Math.E)
  })

  test('forgets in silence, but never so far that calls in flight cost nothing', () => {
    const meter = answered(meterOf(), 0, 100)
    close(meter.cost(10_000), 100 / Math.E)

    assert.equal(meter.cost(1e9), 0.01)
    meter.start(1e9)
    assert.equal(meter.cost(1e9), 0.02)
  })

  test('is not moved by being read', () => {
    const [read, left] = [answered(meterOf(), 0, 100), answered(meterOf(), 0, 100)]
    for (let now = 0; now < 10_000; now++) read.cost(now)
    for (const meter of [read, left]) answered(meter, 10_000, 20)

    assert.equal(read.cost(12_000), left.cost(12_000))
  })

  test('grows with the wait for an answer that does not come', () => {
    const meter = answered(meterOf(), 0, 10)
    meter.start(1_000)
    meter.start(1_500)

    close(meter.cost(1_005), 10 * Math.exp(-0.1005) * 3)
    assert.equal(meter.cost(1_800), 800 * 3)
    assert.equal(meter.cost(61_000), 60_000 * 3)
  })

  test('counts the wait from the last answer, as it cannot know who got it', () => {
    const meter = answered(meterOf(), 0, 10)
    meter.start(0)
    meter.start(0)
    meter.sample(500, 500, OK)
    meter.end(500)

    assert.equal(meter.cost(1_200), 700 * 2)
  })

  test('keeps no wait that is over', () => {
    const meter = answered(meterOf(), 0, 10)
    meter.start(0)
    meter.end(0)

    close(meter.cost(10_000), 10 / Math.E)
  })
})

describe('peak EWMA counts a failure', () => {
  test('as an answer that took 5 s', () => {
    for (const verdict of [CONNECT_FAILED, TRY_TIMEOUT, UNAVAILABLE, OVERLOADED]) {
      assert.equal(answered(meterOf(), 0, 1, verdict).cost(0), 5_000, verdict.reason)
    }
    assert.equal(answered(meterOf({ penaltyMs: 700 }), 0, 1, UNAVAILABLE).cost(0), 700)
  })

  test('as the time it took, if that is longer', () => {
    assert.equal(answered(meterOf(), 0, 8_000, TRY_TIMEOUT).cost(0), 8_000)
  })

  test('as the time the server asks for, between 5 s and 300 s', () => {
    for (const [asked, counted] of [
      [1_000, 5_000],
      [60_000, 60_000],
      [86_400_000, 300_000],
    ] as const) {
      assert.equal(answered(meterOf(), 0, 1, { ...UNAVAILABLE, retryAfterMs: asked }).cost(0), counted)
    }
  })

  test('never as better than what it already believed', () => {
    const meter = answered(meterOf(), 0, 1, { ...OVERLOADED, retryAfterMs: 60_000 })
    const before = meter.cost(3_000)

    answered(meter, 3_000, 1, CONNECT_FAILED)

    assert.ok(meter.cost(3_000) >= before)
  })

  test('and comes down from it as from any slow answer', () => {
    const meter = answered(meterOf(), 0, 1, UNAVAILABLE)

    answered(meter, 10_000, 20)

    close(meter.cost(10_000), 5_000 / Math.E + 20 * (1 - 1 / Math.E))
  })
})

describe('peak EWMA holds an error answer', () => {
  test('against an endpoint where errors are unheard of', () => {
    const [good, bad] = serviceOf(2)
    for (let i = 0; i < 10_000; i++) answered(good, i, 10)
    answered(bad, 10_000, 10)

    answered(bad, 10_000, 1, ERROR_STATUS)

    assert.equal(bad.cost(10_000), 5_000)
  })

  test('against nobody as long as errors come from everywhere', () => {
    const meters = serviceOf(3)
    const random = virtualRuntime(1).random

    for (let now = 0; now < 20_000; now++) {
      answered(meters[now % 3] as LoadMeter, now, 10, random() < 0.15 ? ERROR_STATUS : OK)
    }

    for (const meter of meters) assert.ok(meter.cost(20_000) <= 30, `${meter.cost(20_000)}`)
  })

  test('against one that answers nothing else, wherever errors come from', () => {
    const [bad, ...others] = serviceOf(3)
    const random = virtualRuntime(2).random
    for (let now = 0; now < 1_000; now++) {
      answered(others[now % 2] as LoadMeter, now, 10, random() < 0.15 ? ERROR_STATUS : OK)
    }

    let errors = 0
    while (bad.cost(1_000) < 5_000 && errors < 100) {
      answered(bad, 1_000, 1, ERROR_STATUS)
      errors++
    }

    assert.ok(errors <= 10, `blamed after ${errors} errors`)
  })

  test('never in its favour: an error after 1 ms makes nobody faster', () => {
    const meter = answered(meterOf(), 0, 100)

    for (let i = 0; i < 3; i++) answered(meter, 0, 1, ERROR_STATUS)

    assert.equal(meter.cost(0), 100)
    assert.equal(answered(meterOf(), 0, 1, ERROR_STATUS).cost(0), 30)
  })
})

describe('peak EWMA learns from a caller who left', () => {
  test('nothing if he left early', () => {
    const meter = answered(meterOf(), 0, 100)

    answered(meter, 0, 20, CANCELLED)

    assert.equal(meter.cost(0), 100)
    assert.equal(answered(meterOf(), 0, 20, CANCELLED).cost(0), 30)
  })

  test('what it knew while he waited', () => {
    const meter = answered(meterOf(), 0, 100)
    meter.start(0)
    assert.equal(meter.cost(2_000), 2_000 * 2)
    meter.sample(2_000, 2_000, CANCELLED)
    meter.end(2_000)

    assert.equal(meter.cost(2_000), 2_000)
  })

  test('that it takes as long as he waited', () => {
    assert.equal(answered(answered(meterOf(), 0, 100), 0, 2_000, CANCELLED).cost(0), 2_000)
    assert.equal(answered(meterOf(), 0, 2_000, CANCELLED).cost(0), 2_000)
  })
})

describe('peak EWMA', () => {
  test('costs something finite and above 0, and more with one call more, whatever it has seen', () => {
    const step = fc.record({
      ms: fc.double({ min: 0, max: 100_000, noNaN: true }),
      elapsed: fc.double({ min: 0, max: 1e7, noNaN: true }),
      outcome: fc.constantFrom('success', 'failure', 'overload', 'ignored'),
      reason: fc.constantFrom(...REASONS),
      retryAfterMs: fc.integer({ min: 0, max: 2 ** 31 }),
      held: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
        const meter = meterOf()
        let now = 0
        for (const { ms, elapsed, held, ...verdict } of steps) {
          now += ms
          meter.start(now)
          meter.sample(now, elapsed, { resend: 'never', ...verdict } as Verdict)
          if (!held) meter.end(now)
          const before = meter.cost(now)
          assert.ok(Number.isFinite(before) && before > 0, `${before}`)
          meter.start(now)
          assert.ok(meter.cost(now) > before)
          meter.end(now)
          assert.equal(meter.cost(now), before)
        }
      }),
    )
  })

  test('says what it expects of its options', () => {
    assert.throws(() => peakEwma({ decayMs: -1 }), {
      code: 'INMESH_CONFIG',
      message: /^peakEwma\.decayMs: expected milliseconds above 0/,
    })
    assert.throws(() => peakEwma({ defaultRttMs: 0 }), { message: /^peakEwma\.defaultRttMs: / })
    assert.throws(() => peakEwma({ penaltyMs: Number.NaN }), { message: /^peakEwma\.penaltyMs: .* got NaN$/ })
    assert.throws(() => peakEwma({ decay: 10 } as PeakEwmaOptions), { message: /^peakEwma\.decay: unknown option/ })
  })
})

function meterOf(options?: PeakEwmaOptions): LoadMeter {
  return peakEwma(options)(virtualRuntime())()
}

/** The meters of one service's endpoints. */
function serviceOf(count: number): [LoadMeter, LoadMeter, ...LoadMeter[]] {
  const newMeter = peakEwma()(virtualRuntime())
  return Array.from({ length: count }, newMeter) as [LoadMeter, LoadMeter, ...LoadMeter[]]
}

function answered(meter: LoadMeter, now: number, elapsedMs: number, verdict: Verdict = OK): LoadMeter {
  meter.start(now)
  meter.sample(now, elapsedMs, verdict)
  meter.end(now)
  return meter
}

function close(got: number, expected: number): void {
  assert.ok(Math.abs(got - expected) < 1e-9 * Math.max(1, expected), `expected ${expected}, got ${got}`)
}
