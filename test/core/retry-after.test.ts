import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { retryAfterMs } from '../../src/core/retry-after.ts'

const DATE = 'Wed, 21 Oct 2015 07:28:00 GMT'

test('reads seconds', () => {
  assert.deepEqual(
    ['0', '1', '120', '007', '999999999'].map((value) => retryAfterMs(value, undefined)),
    [0, 1_000, 120_000, 7_000, 999_999_999_000],
  )
})

test("compares a date with the answer's own", () => {
  assert.equal(retryAfterMs('Wed, 21 Oct 2015 07:28:30 GMT', DATE), 30_000)
  assert.equal(retryAfterMs('Wednesday, 21-Oct-15 07:28:30 GMT', DATE), 30_000)
  assert.equal(retryAfterMs('Wed Oct 21 07:28:30 2015', 'Wed Oct 21 07:28:00 2015'), 30_000)
})

test('takes a date that is past, or can be compared with nothing, for none', () => {
  assert.equal(retryAfterMs('Wed, 21 Oct 2015 07:27:59 GMT', DATE), 0)
  assert.equal(retryAfterMs(DATE, DATE), 0)
  assert.equal(retryAfterMs('Fri, 21 Oct 2095 07:28:30 GMT', undefined), 0)
  assert.equal(retryAfterMs('Fri, 21 Oct 2095 07:28:30 GMT', 'yesterday'), 0)
})

test('takes what is malformed or there twice for none', () => {
  for (const value of [undefined, '', '-1', '1.5', '1e3', '9999999999', '5s', 'soon', ' ', ['1', '2'], []]) {
    assert.equal(retryAfterMs(value, 'Thu, 01 Jan 1970 00:00:00 GMT'), 0, `${value}`)
  }
  assert.equal(retryAfterMs('Wed, 21 Oct 2015 07:28:30 GMT', [DATE, DATE]), 0)
})

test('answers a finite number of 0 or more, whatever the headers', () => {
  fc.assert(
    fc.property(fc.option(fc.string(), { nil: undefined }), fc.option(fc.string(), { nil: undefined }), (value, date) => {
      const ms = retryAfterMs(value, date)
      assert.ok(Number.isFinite(ms) && ms >= 0)
    }),
  )
})
