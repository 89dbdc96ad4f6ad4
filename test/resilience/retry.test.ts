import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Attempt } from '../../src/core/attempt.ts'
import type { RetryBudget } from '../../src/core/retry-policy.ts'
import { CANCELLED, CONNECT_FAILED, ERROR_STATUS, NOT_SENT, OVERLOADED, SHED, UNAVAILABLE } from '../../src/core/verdict.ts'
import { type RetryOptions, retry } from '../../src/resilience/retry.ts'
import { emptyBudget, infiniteBudget, retryBudget } from '../../src/resilience/retry-budget.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

/** Waits 10 ms times the number of the resend. */
const tens: RetryOptions['backoff'] = () => (nth) => nth * 10

function policy(options: Partial<RetryOptions> = {}, budget: RetryBudget = infiniteBudget) {
  return retry({ backoff: tens, ...options })(virtualRuntime(), budget)
}

interface Sent {
  readonly number?: number
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** The part of an attempt that a policy reads. */
function attempt({ number = 1, method = 'GET', headers = {} }: Sent = {}): Attempt {
  const call = { authority: 'voting', method, path: '/', idempotent: method !== 'POST', header: (name: string) => headers[name] }
  return { call, number } as unknown as Attempt
}

test('resends an idempotent call once, after a backoff', () => {
  const { next } = bound(policy())

  assert.equal(next(attempt({ number: 1 }), UNAVAILABLE), 10)
  assert.equal(next(attempt({ number: 2 }), UNAVAILABLE), -1)
})

test('counts the first attempt among the attempts', () => {
  const { next } = bound(policy({ attempts: 4 }))

  assert.deepEqual(
    [1, 2, 3, 4].map((number) => next(attempt({ number }), UNAVAILABLE)),
    [10, 20, 30, -1],
  )
})

test('sends once when one attempt is all', () => {
  assert.equal(policy({ attempts: 1 }).next(attempt(), UNAVAILABLE), -1)
})

test('waits up to 25 ms by default', () => {
  const next = retry()({ ...virtualRuntime(), random: () => 0.5 }, infiniteBudget)

  assert.equal(next.next(attempt(), UNAVAILABLE), 12.5)
})

test('does not resend what may have been processed and is not idempotent', () => {
  assert.equal(policy().next(attempt({ method: 'POST' }), UNAVAILABLE), -1)
})

test('does not resend what another attempt would not mend', () => {
  assert.equal(policy().next(attempt(), ERROR_STATUS), -1)
  assert.equal(policy().next(attempt(), CANCELLED), -1)
})

test('resends what was not sent whatever the method, the budget, the attempts and the caller', () => {
  const { next } = bound(policy({ attempts: 1 }, emptyBudget))
  const sent = { method: 'POST', headers: { 'x-envoy-attempt-count': '3' } }

  assert.equal(next(attempt(sent), CONNECT_FAILED), 0)
  assert.equal(next(attempt(sent), NOT_SENT), 0)
})

test('resends what was not sent at once, then after a backoff, up to five attempts', () => {
  const { next } = bound(policy())

  assert.deepEqual(
    [1, 2, 3, 4, 5, 6].map((number) => next(attempt({ number }), NOT_SENT)),
    [0, 10, 20, 30, -1, -1],
  )
})

test('does not take from the budget for what was not sent', () => {
  const budget = retryBudget()(virtualRuntime())

  policy({}, budget).next(attempt(), NOT_SENT)

  assert.equal(budget.balance, 100)
})

test('resends as long as the budget pays', () => {
  const budget = retryBudget()(virtualRuntime())
  const { next } = bound(policy({}, budget))

  const granted = Array.from({ length: 150 }, () => next(attempt(), UNAVAILABLE)).filter((ms) => ms >= 0)

  assert.equal(granted.length, 100)
})

test('pays into the budget once a call', () => {
  const budget = retryBudget({ percent: 1, minPerSecond: 0 })(virtualRuntime())

  policy({}, budget).deposit()

  assert.equal(budget.balance, 1)
})

test('takes nothing from the budget for a resend that it refuses for another reason', () => {
  const budget = retryBudget()(virtualRuntime())
  const { next } = bound(policy({}, budget))

  next(attempt({ method: 'POST' }), UNAVAILABLE)
  next(attempt({ number: 2 }), UNAVAILABLE)
  next(attempt({ headers: { 'x-envoy-attempt-count': '2' } }), UNAVAILABLE)
  next(attempt(), { ...UNAVAILABLE, retryAfterMs: 3_600_000 })
  next(attempt(), ERROR_STATUS)

  assert.equal(budget.balance, 100)
})

test('waits as long as the server asks if that is longer than the backoff', () => {
  const { next } = bound(policy())

  assert.equal(next(attempt(), { ...UNAVAILABLE, retryAfterMs: 1_500 }), 1_500)
  assert.equal(next(attempt(), { ...OVERLOADED, retryAfterMs: 5 }), 10)
})

test('gives up when the server asks for more than 5 s', () => {
  const { next } = bound(policy())

  assert.equal(next(attempt(), { ...UNAVAILABLE, retryAfterMs: 5_000 }), 5_000)
  assert.equal(next(attempt(), { ...UNAVAILABLE, retryAfterMs: 5_001 }), -1)
})

for (const headers of [
  { 'x-envoy-attempt-count': '2' },
  { 'x-envoy-attempt-count': '7, 1' },
  { 'grpc-previous-rpc-attempts': '1' },
]) {
  test(`does not resend a call that carries ${JSON.stringify(headers)}: it is a resend already`, () => {
    assert.equal(policy().next(attempt({ headers }), UNAVAILABLE), -1)
  })
}

for (const headers of [
  { 'x-envoy-attempt-count': '1' },
  { 'grpc-previous-rpc-attempts': '0' },
  { 'x-envoy-attempt-count': 'many' },
  { 'x-envoy-attempt-count': '' },
]) {
  test(`resends a call that carries ${JSON.stringify(headers)}: it is the first`, () => {
    assert.equal(policy().next(attempt({ headers }), UNAVAILABLE), 10)
  })
}

for (const [options, message] of [
  [{ attempts: 0 }, 'retry.attempts: expected an integer from 1 to 100, got 0'],
  [{ limit: 2 }, 'retry.limit: unknown option, expected one of attempts, backoff, maxRetryAfterMs'],
  [{ backoff: 25 }, 'retry.backoff: expected a function, got 25'],
] as const) {
  test(`refuses ${JSON.stringify(options)}`, () => {
    assert.throws(() => retry(options as Partial<RetryOptions>), { code: 'INMESH_CONFIG', message })
  })
}

function bound(retrying: ReturnType<typeof policy>) {
  return { next: retrying.next.bind(retrying) }
}

test('grants no wait that outlasts the call, and takes nothing from the budget for it', () => {
  const budget = retryBudget()(virtualRuntime())
  const { balance } = budget
  const resending = policy({}, budget)

  assert.equal(resending.next(attempt(), UNAVAILABLE, 10), -1)
  assert.equal(resending.next(attempt({ number: 2 }), NOT_SENT, 10), -1)
  assert.equal(budget.balance, balance)
  assert.equal(resending.next(attempt(), UNAVAILABLE, 11), 10)
  assert.equal(budget.balance, balance - 1)
})

test('sends what was turned away for load elsewhere, whatever the method, as long as the budget pays', () => {
  assert.equal(policy().next(attempt({ method: 'POST' }), SHED), 10)
  assert.equal(policy({}, emptyBudget).next(attempt({ method: 'POST' }), SHED), -1)
  assert.equal(policy().next(attempt({ number: 5 }), SHED), -1)
})

test('does not resend on behalf of a request that is a resend, unless nothing was sent', () => {
  const onBehalf = { ...attempt(), call: { ...attempt().call, resent: true } } as Attempt

  assert.equal(policy().next(onBehalf, UNAVAILABLE), -1)
  assert.equal(policy().next(onBehalf, NOT_SENT), 0)
})
