import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as verdicts from '../../src/core/verdict.ts'
import { ERROR_STATUS, judgeStatus, OK, OVERLOADED, REASONS, SHED, UNAVAILABLE, type Verdict } from '../../src/core/verdict.ts'

const constants = Object.entries(verdicts).filter(([, value]) => typeof value === 'object' && 'outcome' in value) as [
  string,
  Verdict,
][]

test('takes every status below 500 but 429 for a success of the service', () => {
  for (const status of [200, 204, 301, 304, 400, 401, 403, 404, 409, 499]) assert.equal(judgeStatus(status), OK)
})

test('takes 429 for overload that another endpoint may mend', () => {
  assert.equal(judgeStatus(429), OVERLOADED)
  assert.deepEqual([OVERLOADED.outcome, OVERLOADED.resend], ['overload', 'idempotent'])
})

test('takes 502, 503 and 504 for failures that another endpoint may mend', () => {
  for (const status of [502, 503, 504]) assert.equal(judgeStatus(status), UNAVAILABLE)
  assert.deepEqual([UNAVAILABLE.outcome, UNAVAILABLE.resend], ['failure', 'idempotent'])
})

test('believes a server that says it turned the request away and did nothing', () => {
  assert.equal(judgeStatus(503, 0, true), SHED)
  assert.deepEqual(judgeStatus(429, 100, true), { ...SHED, retryAfterMs: 100 })
  assert.equal(judgeStatus(500, 0, true), ERROR_STATUS)
  assert.equal(judgeStatus(200, 0, true), OK)
})

test('takes every other status from 500 for a failure that another attempt would not mend', () => {
  for (const status of [500, 501, 505, 511, 599]) assert.equal(judgeStatus(status), ERROR_STATUS)
  assert.deepEqual([ERROR_STATUS.outcome, ERROR_STATUS.resend], ['failure', 'never'])
})

test('carries what Retry-After asks on a verdict of its own', () => {
  assert.deepEqual(judgeStatus(503, 1_500), { ...UNAVAILABLE, retryAfterMs: 1_500 })
  assert.deepEqual(judgeStatus(429, 1_500), { ...OVERLOADED, retryAfterMs: 1_500 })
  assert.equal(UNAVAILABLE.retryAfterMs, 0)
})

test('leaves Retry-After aside where it decides nothing', () => {
  assert.equal(judgeStatus(200, 1_500), OK)
  assert.equal(judgeStatus(500, 1_500), ERROR_STATUS)
})

test('has one constant for each reason, and one more for overload that did nothing, frozen and without a wait', () => {
  const others = constants.filter(([name]) => name !== 'SHED')
  assert.deepEqual(others.map(([, { reason }]) => reason).toSorted(), REASONS.toSorted())
  for (const [name, constant] of constants) {
    assert.equal(Object.isFrozen(constant), true, name)
    assert.equal(constant.retryAfterMs, 0, name)
  }
})

test('never resends a success or what says nothing of the endpoint', () => {
  for (const [name, { outcome, resend }] of constants) {
    if (outcome === 'success' || outcome === 'ignored') assert.equal(resend, 'never', name)
  }
})

test('calls safe only what never reached the application', () => {
  const safe = constants.filter(([, { resend }]) => resend === 'safe').map(([name]) => name)

  assert.deepEqual(safe.toSorted(), ['CONNECT_FAILED', 'CONNECT_TIMEOUT', 'NOT_SENT', 'SHED'])
})
