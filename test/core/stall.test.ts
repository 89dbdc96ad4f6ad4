import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StallMeter } from '../../src/core/stall.ts'
import { VirtualClock } from '../support/virtual-time.ts'

test('counts nothing while time passes as it should', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  const before = meter.total(clock.now())

  clock.advance(1_000)

  assert.equal(meter.total(clock.now()) - before, 0)
})

test('counts a stall, but for one tick and what is ordinary', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  const before = meter.total(clock.now())

  clock.stall(500)
  clock.advance(0)

  const stalled = meter.total(clock.now()) - before
  assert.equal(stalled <= 500 && stalled >= 500 - 30, true, `${stalled}`)
})

test('counts a stall that is not over: before the late timer has run', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  const before = meter.total(clock.now())

  clock.stall(500)

  const during = meter.total(clock.now()) - before
  clock.advance(0)
  assert.equal(during, meter.total(clock.now()) - before)
  assert.equal(during >= 470, true)
})

test('adds up several stalls', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  const before = meter.total(clock.now())

  for (let i = 0; i < 3; i++) {
    clock.stall(100)
    clock.advance(200)
  }

  const stalled = meter.total(clock.now()) - before
  assert.equal(stalled <= 300 && stalled >= 3 * 70, true, `${stalled}`)
})

test('takes lateness of up to 10 ms for ordinary', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  meter.total(clock.now())

  clock.stall(30)
  clock.advance(0)

  assert.equal(meter.total(clock.now()), 0)
})

test('runs one timer however often it is asked', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)

  for (let i = 0; i < 100; i++) {
    meter.total(clock.now())
    clock.advance(7)
  }

  assert.equal(clock.pending, 1)
})

test('sleeps when nobody has asked for 10 s, and does not take its own sleep for a stall', () => {
  const clock = new VirtualClock()
  const meter = new StallMeter(clock)
  meter.total(clock.now())

  clock.advance(10_100)
  assert.equal(clock.pending, 0)
  clock.advance(60_000)

  assert.equal(meter.total(clock.now()), 0)
  assert.equal(clock.pending, 1)
})

test('starts no timer before it is asked', () => {
  const clock = new VirtualClock()

  new StallMeter(clock)

  assert.equal(clock.pending, 0)
})

test('never counts more than there was, nor less than before', () => {
  const step = fc.record({
    kind: fc.constantFrom('stall' as const, 'advance' as const),
    ms: fc.nat({ max: 3_000 }),
    ask: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const clock = new VirtualClock()
      const meter = new StallMeter(clock)
      let last = meter.total(0)
      let stalled = 0
      for (const { kind, ms, ask } of steps) {
        clock[kind](ms)
        if (kind === 'stall') stalled += ms
        if (!ask) continue
        const total = meter.total(clock.now())
        assert.equal(total >= last && total <= stalled, true)
        last = total
      }
    }),
  )
})
