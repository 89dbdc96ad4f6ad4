import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Gate, openGate } from '../../src/core/gate.ts'
import { CANCELLED, ERROR_STATUS, OK, OVERLOADED, UNAVAILABLE, type Verdict } from '../../src/core/verdict.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { gateConformance } from './gate-conformance.ts'

gateConformance('consecutiveFailures()', consecutiveFailures(), { shutBy: Array(7).fill(ERROR_STATUS) })
gateConformance('consecutiveFailures({ failures: 1 })', consecutiveFailures({ failures: 1 }), { shutBy: [UNAVAILABLE] })
gateConformance('openGate', () => openGate)

/** A gate whose backoff has no jitter. */
function exactGate(options: Parameters<typeof consecutiveFailures>[0] = {}): Gate {
  return consecutiveFailures({ jitter: 0, ...options })(virtualRuntime())
}

function attempt(gate: Gate, now: number, verdict: Verdict): boolean {
  if (!gate.acquire(now)) return false
  gate.judge(now, verdict)
  gate.release(now)
  return true
}

function fail(gate: Gate, times: number, now = 0): void {
  for (let i = 0; i < times; i++) attempt(gate, now, ERROR_STATUS)
}

test('shuts at the seventh failure in a row, not at the sixth', () => {
  const gate = exactGate()

  fail(gate, 6)
  assert.equal(gate.shutUntil, 0)
  fail(gate, 1)

  assert.equal(gate.shutUntil, 1_000)
})

test('starts counting again after a success', () => {
  const gate = exactGate()

  fail(gate, 6)
  attempt(gate, 0, OK)
  fail(gate, 6)

  assert.equal(gate.shutUntil, 0)
})

for (const [name, verdict] of [
  ['an overloaded', OVERLOADED],
  ['an ignored', CANCELLED],
] as const) {
  test(`neither counts ${name} attempt nor starts again after it`, () => {
    const gate = exactGate()

    fail(gate, 6)
    for (let i = 0; i < 100; i++) attempt(gate, 0, verdict)
    assert.equal(gate.shutUntil, 0)
    fail(gate, 1)

    assert.equal(gate.shutUntil, 1_000)
  })
}

test('doubles the backoff with each probe that fails, from 1 s to 60 s', () => {
  const gate = exactGate()
  fail(gate, 7)

  const backoffs: number[] = []
  for (let now = gate.shutUntil; backoffs.length < 8; now = gate.shutUntil) {
    fail(gate, 1, now)
    backoffs.push(gate.shutUntil - now)
  }

  assert.deepEqual(backoffs, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000])
})

test('begins with the shortest backoff again after it has served', () => {
  const gate = exactGate()
  fail(gate, 7)
  fail(gate, 1, 1_000)
  attempt(gate, 3_000, OK)
  assert.equal(gate.shutUntil, 0)

  fail(gate, 7, 3_000)

  assert.equal(gate.shutUntil, 4_000)
})

test('needs the whole number of failures again after it has served', () => {
  const gate = exactGate()
  fail(gate, 7)
  attempt(gate, 1_000, OK)

  fail(gate, 6, 1_000)

  assert.equal(gate.shutUntil, 0)
})

test('takes an overloaded probe for a failed one', () => {
  const gate = exactGate()
  fail(gate, 7)

  attempt(gate, 1_000, OVERLOADED)

  assert.equal(gate.shutUntil, 3_000)
})

test('keeps the backoff as it was when a probe says nothing', () => {
  const gate = exactGate()
  fail(gate, 7)

  attempt(gate, 1_000, CANCELLED)
  assert.equal(gate.shutUntil, 1_000)
  fail(gate, 1, 1_500)

  assert.equal(gate.shutUntil, 3_500)
})

test('counts an answer that began well and broke off as a failure', () => {
  const gate = exactGate({ failures: 1 })
  gate.acquire(0)
  gate.judge(0, OK)

  gate.judge(10, ERROR_STATUS)
  gate.release(10)

  assert.equal(gate.shutUntil, 1_010)
})

test('stays shut whatever it hears of attempts from before', () => {
  const gate = exactGate({ failures: 2 })
  for (let i = 0; i < 5; i++) gate.acquire(0)
  for (let i = 0; i < 2; i++) gate.judge(0, ERROR_STATUS)

  gate.judge(100, OK)
  gate.judge(200, ERROR_STATUS)
  gate.judge(300, CANCELLED)
  for (let i = 0; i < 5; i++) gate.release(400)

  assert.equal(gate.shutUntil, 1_000)
})

test('does not let a second probe through when an attempt from before the trip is cancelled while the probe is out', () => {
  const gate = exactGate({ failures: 1 })
  gate.acquire(0)
  gate.acquire(0)
  gate.judge(0, ERROR_STATUS)
  gate.release(0)
  gate.acquire(1_000)

  gate.judge(1_100, CANCELLED)
  gate.release(1_100)

  assert.equal(gate.acquire(1_100), false)
  assert.equal(gate.shutUntil, 2_100)
})

test('is not wedged by a probe that is cancelled while an attempt from before the trip hangs', () => {
  const gate = exactGate({ failures: 1 })
  gate.acquire(0)
  gate.acquire(0)
  gate.judge(0, ERROR_STATUS)
  gate.release(0)
  gate.acquire(1_000)

  gate.judge(1_000, CANCELLED)
  gate.release(1_000)

  assert.equal(gate.acquire(2_000), true)
})

test('stays shut as long as the server asks, up to the longest backoff', () => {
  const gate = exactGate({ failures: 1 })
  attempt(gate, 0, { ...UNAVAILABLE, retryAfterMs: 5_000 })
  assert.equal(gate.shutUntil, 5_000)

  attempt(gate, 5_000, { ...UNAVAILABLE, retryAfterMs: 3_600_000 })

  assert.equal(gate.shutUntil, 65_000)
})

test('adds up to the jitter share of the backoff, and never passes the longest', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 100_000 }),
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.integer(),
      (a, b, jitter, seed) => {
        const [minBackoffMs, maxBackoffMs] = [Math.min(a, b), Math.max(a, b)]
        const gate = consecutiveFailures({ failures: 1, minBackoffMs, maxBackoffMs, jitter })(virtualRuntime(seed))
        for (let n = 0, now = 0; n < 20; n++, now = gate.shutUntil) {
          attempt(gate, now, ERROR_STATUS)
          const base = Math.min(minBackoffMs * 2 ** n, maxBackoffMs)
          const backoff = gate.shutUntil - now
          assert.equal(backoff >= base - 1e-3 && backoff <= Math.min(base * (1 + jitter), maxBackoffMs) + 1e-3, true)
        }
      },
    ),
  )
})

test('spreads the probes of endpoints that were shut together', () => {
  const runtime = virtualRuntime()
  const factory = consecutiveFailures({ failures: 1 })
  const ends = Array.from({ length: 1_000 }, () => {
    const gate = factory(runtime)
    attempt(gate, 0, ERROR_STATUS)
    return gate.shutUntil
  })

  const mean = ends.reduce((sum, end) => sum + end, 0) / ends.length
  assert.equal(Math.min(...ends) >= 1_000 && Math.max(...ends) <= 1_500, true)
  assert.equal(Math.abs(mean - 1_250) < 25, true)
})

for (const [options, message] of [
  [{ failures: 0 }, 'consecutiveFailures.failures: expected an integer >= 1, got 0'],
  [{ jitter: -1 }, 'consecutiveFailures.jitter: expected a number from 0 to 100, got -1'],
  [{ minBackoffMs: 0 }, 'consecutiveFailures.minBackoffMs: expected milliseconds above 0, at most 2147483647, got 0'],
  [{ maxBackoffMs: 10 }, 'consecutiveFailures.maxBackoffMs: expected at least minBackoffMs, which is 1000, got 10'],
] as const) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => consecutiveFailures(options), { code: 'INMESH_CONFIG', message })
  })
}
