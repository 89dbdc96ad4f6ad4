import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Call } from '../../src/core/call.ts'
import type { RetryBudget } from '../../src/core/retry-policy.ts'
import { AnswerTimes } from '../../src/resilience/answer-times.ts'
import { type HedgeOptions, hedge } from '../../src/resilience/hedge.ts'
import { emptyBudget, infiniteBudget, retryBudget } from '../../src/resilience/retry-budget.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

function policy(options?: Partial<HedgeOptions>, budget: RetryBudget = infiniteBudget) {
  return hedge(options)(virtualRuntime(), budget)
}

function call(method = 'GET', headers: Readonly<Record<string, string>> = {}, more: Partial<Call> = {}): Call {
  return { authority: 'voting', method, path: '/', idempotent: method !== 'POST', header: (name) => headers[name], ...more }
}

test('covers idempotent calls that are no resends', () => {
  const { covers } = bound(policy())

  assert.equal(covers(call()), true)
  assert.equal(covers(call('POST')), false)
  assert.equal(covers(call('GET', {}, { resent: true })), false)
  assert.equal(covers(call('GET', { 'x-envoy-attempt-count': '2' })), false)
  assert.equal(covers(call('GET', { 'x-envoy-attempt-count': '1' })), true)
  assert.equal(covers(call('GET', { 'grpc-previous-rpc-attempts': '1' })), false)
})

test('sends each further attempt after the given delay, as many as there may be', () => {
  const given = policy({ attempts: 4, delayMs: 30 })

  assert.deepEqual(
    [1, 2, 3, 4].map((attempts) => given.delayMs(attempts)),
    [30, 30, 30, -1],
  )
  assert.equal(policy({ delayMs: 0 }).delayMs(1), 0)
})

test('is paid by the budget of resending', () => {
  const budget = retryBudget({ minPerSecond: 0.2, percent: 0 })(virtualRuntime())
  const given = policy({ delayMs: 1 }, budget)

  assert.deepEqual([given.withdraw(), given.withdraw(), given.withdraw()], [true, true, false])
  assert.equal(budget.balance, 0)
  assert.equal(policy({}, emptyBudget).withdraw(), false)
})

test('hedges nothing before it has seen a hundred answers', () => {
  const measured = policy()

  for (let i = 0; i < 99; i++) measured.observe(10)
  assert.equal(measured.delayMs(1), -1)
  measured.observe(10)

  assert.equal(measured.delayMs(1), 10)
  assert.equal(measured.delayMs(2), -1)
})

test('waits for as long as the given share of answers takes', () => {
  const p95 = policy()
  const p50 = policy({ percentile: 50 })

  for (let ms = 1; ms <= 100; ms++) {
    p95.observe(ms)
    p50.observe(101 - ms)
  }

  assert.equal(p95.delayMs(1), 95)
  assert.equal(p50.delayMs(1), 50)
})

test('never waits for less than a millisecond', () => {
  const fast = policy()

  for (let i = 0; i < 100; i++) fast.observe(0.05)

  assert.equal(fast.delayMs(1), 1)
})

test('goes by the latest thousand answers', () => {
  const times = new AnswerTimes(0.95)

  for (let i = 0; i < 5_000; i++) times.add(500)
  assert.equal(times.quantileMs, 500)
  for (let i = 0; i < 1_000; i++) times.add(5)

  assert.equal(times.quantileMs, 5)
})

test('has the share of the latest answers below the quantile that it says', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 100, maxLength: 1_500 }),
      fc.double({ min: 0.01, max: 0.999, noNaN: true }),
      (given, quantile) => {
        const times = new AnswerTimes(quantile)
        for (const ms of given) times.add(ms)

        const latest = given.slice(0, given.length - (given.length % 50)).slice(-1_000)
        const within = latest.filter((ms) => ms <= times.quantileMs).length
        const below = latest.filter((ms) => ms < times.quantileMs).length
        assert.ok(within >= quantile * latest.length - 1e-6, `${within} of ${latest.length} are within`)
        assert.ok(below < quantile * latest.length + 1e-6, `${below} of ${latest.length} are below`)
      },
    ),
    { numRuns: 50 },
  )
})

test('refuses options that are wrong or don’t go together', () => {
  const problem = (options: object) => {
    try {
      hedge(options)
    } catch (error) {
      return (error as Error).message
    }
    return undefined
  }

  assert.equal(problem({ attempts: 1 }), 'hedge.attempts: expected an integer from 2 to 5, got 1')
  assert.equal(problem({ attempts: 6 }), 'hedge.attempts: expected an integer from 2 to 5, got 6')
  assert.equal(problem({ percentile: 0.95 }), 'hedge.percentile: expected a number from 1 to 99.9, got 0.95')
  assert.match(problem({ delayMs: -1 }) ?? '', /^hedge\.delayMs: expected milliseconds from 0/)
  assert.equal(problem({ delayMs: 5, percentile: 99 }), 'hedge.percentile: expected none beside delayMs, got 99')
  assert.match(problem({ delay: 5 }) ?? '', /^hedge\.delay: unknown option/)
  assert.equal(problem({ delayMs: undefined, attempts: undefined }), undefined)
})

function bound<T extends object>(policy: T): T {
  return new Proxy(policy, {
    get: (target, key) => (Reflect.get(target, key) as (...args: unknown[]) => unknown).bind(target),
  })
}
