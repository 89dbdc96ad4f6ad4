import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { RetryBudget } from '../../src/core/retry-policy.ts'
import { emptyBudget, infiniteBudget, type RetryBudgetOptions, retryBudget } from '../../src/resilience/retry-budget.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

function budgetOf(options?: Partial<RetryBudgetOptions>) {
  const { clock, ...runtime } = virtualRuntime()
  return { budget: retryBudget(options)({ clock, ...runtime }), clock }
}

function withdrawAll(budget: RetryBudget): number {
  let paid = 0
  while (budget.withdraw()) paid++
  return paid
}

for (const percent of [0, 0.1, 0.2, 0.25, 0.5, 0.75, 0.95, 1, 1.5, 3]) {
  for (const minPerSecond of [0, 1, 10]) {
    for (const ttlMs of [1_000, 10_000, 60_000]) {
      const expected = percent * 10_000 + (minPerSecond * ttlMs) / 1_000
      test(`pays for ${expected} of 10 000 calls at ${percent} + ${minPerSecond}/s over ${ttlMs} ms`, () => {
        const { budget } = budgetOf({ percent, minPerSecond, ttlMs })

        let paid = 0
        for (let i = 0; i < 10_000; i++) {
          budget.deposit()
          if (budget.withdraw()) paid++
        }
        paid += withdrawAll(budget)

        assert.equal(Math.abs(paid - expected) <= 1, true, `paid ${paid}`)
      })
    }
  }
}

test('has a reserve of 100 attempts by default, before any call', () => {
  const { budget } = budgetOf()

  assert.equal(budget.balance, 100)
  assert.equal(withdrawAll(budget), 100)
  assert.equal(budget.balance, 0)
})

test('pays for one attempt for each five calls by default', () => {
  const { budget } = budgetOf({ minPerSecond: 0 })
  for (let i = 0; i < 4; i++) budget.deposit()
  assert.equal(budget.withdraw(), false)

  budget.deposit()

  assert.equal(budget.withdraw(), true)
  assert.equal(budget.withdraw(), false)
})

test('takes nothing when it does not pay', () => {
  const { budget } = budgetOf({ percent: 0.5, minPerSecond: 0 })
  budget.deposit()

  for (let i = 0; i < 100; i++) assert.equal(budget.withdraw(), false)
  budget.deposit()

  assert.equal(budget.withdraw(), true)
})

test('forgets deposits after the ttl, but for the reserve', () => {
  const { budget, clock } = budgetOf({ percent: 1, minPerSecond: 2, ttlMs: 10_000 })
  for (let i = 0; i < 50; i++) budget.deposit()
  clock.advance(8_900)
  assert.equal(budget.balance, 70)

  clock.advance(1_100)

  assert.equal(budget.balance, 20)
})

test('gives the reserve back as withdrawals age', () => {
  const { budget, clock } = budgetOf()
  withdrawAll(budget)
  clock.advance(8_900)
  assert.equal(budget.withdraw(), false)

  clock.advance(1_100)

  assert.equal(budget.balance, 100)
})

test('has no debt left after a long sleep', () => {
  const { budget, clock } = budgetOf({ percent: 1 })
  for (let i = 0; i < 500; i++) budget.deposit()
  withdrawAll(budget)

  clock.advance(86_400_000)

  assert.equal(budget.balance, 100)
  budget.deposit()
  assert.equal(budget.balance, 101)
})

test('stays exact over millions of calls', () => {
  const { budget, clock } = budgetOf({ percent: 0.1, minPerSecond: 0 })
  let paid = 0

  for (let second = 0; second < 1_000; second++) {
    for (let i = 0; i < 1_000; i++) budget.deposit()
    paid += withdrawAll(budget)
    clock.advance(1_000)
  }

  assert.equal(paid, 100_000)
})

test('pays in no window for more than the share of its calls and the reserve', () => {
  const options = fc.record({
    percent: fc.double({ min: 0, max: 5, noNaN: true }),
    minPerSecond: fc.integer({ min: 0, max: 20 }),
    ttlMs: fc.integer({ min: 1_000, max: 60_000 }),
  })
  const step = fc.record({
    ms: fc.integer({ min: 0, max: 2_000 }),
    deposits: fc.nat({ max: 20 }),
    withdrawals: fc.nat({ max: 40 }),
  })
  fc.assert(
    fc.property(options, fc.array(step, { maxLength: 60 }), (options, steps) => {
      const { budget, clock } = budgetOf(options)
      const log: { at: number; deposits: number; paid: number }[] = []

      for (const { ms, deposits, withdrawals } of steps) {
        clock.advance(ms)
        for (let i = 0; i < deposits; i++) budget.deposit()
        let paid = 0
        for (let i = 0; i < withdrawals; i++) if (budget.withdraw()) paid++
        log.push({ at: clock.now(), deposits, paid })
        if (paid === 0) continue

        const since = (age: number) => log.filter(({ at }) => at > clock.now() - age)
        const payments = since(options.ttlMs * 0.9).reduce((sum, entry) => sum + entry.paid, 0)
        const calls = since(options.ttlMs).reduce((sum, entry) => sum + entry.deposits, 0)
        const most = calls * options.percent + (options.minPerSecond * options.ttlMs) / 1_000
        assert.equal(payments <= most + 1e-6, true, `${payments} > ${most}`)
      }
    }),
  )
})

test('says a balance that can be withdrawn, to the last', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 3_000 }), fc.nat({ max: 50 }))), (steps) => {
      const { budget, clock } = budgetOf()
      for (const [ms, deposits] of steps) {
        clock.advance(ms)
        for (let i = 0; i < deposits; i++) budget.deposit()
        budget.withdraw()
      }

      const { balance } = budget
      assert.equal(withdrawAll(budget), balance)
    }),
  )
})

test('is the empty budget when nothing pays in', () => {
  const { budget } = budgetOf({ percent: 0, minPerSecond: 0 })

  assert.equal(budget, emptyBudget)
  budget.deposit()
  assert.equal(budget.withdraw(), false)
  assert.equal(budget.balance, 0)
})

test('pays without end when infinite', () => {
  for (let i = 0; i < 1_000; i++) assert.equal(infiniteBudget.withdraw(), true)
  assert.equal(infiniteBudget.balance, Number.POSITIVE_INFINITY)
})

for (const options of [{ ttlMs: 999 }, { ttlMs: 60_001 }, { minPerSecond: -1 }, { percent: -0.1 }, { percent: 1_001 }]) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    const [key] = Object.keys(options)
    assert.throws(() => retryBudget(options), { code: 'INMESH_CONFIG', message: new RegExp(`^retryBudget\\.${key}: expected`) })
  })
}
