import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readAttempt, readCaller, readGrpcTimeout, readTimeLeft } from '../../src/core/context-headers.ts'

const NEVER = Number.POSITIVE_INFINITY

describe('the time left', () => {
  test('is whole milliseconds', () => {
    assert.equal(readTimeLeft('200'), 200)
    assert.equal(readTimeLeft('0'), 0)
  })

  test('counts up to what a timer can hold', () => {
    assert.equal(readTimeLeft('1000000000000'), 2_147_483_647)
  })

  for (const value of ['-1', '+5', '1.5', '1e3', 'soon', '', ' 5', '5, 5', '0x10', '1234567890123456', '5'.repeat(10_000)]) {
    test(`is no deadline when it says ${value.slice(0, 20) || 'nothing'}`, () => {
      assert.equal(readTimeLeft(value), NEVER)
    })
  }

  test('is no deadline when it came a thousand times', () => {
    assert.equal(readTimeLeft(Array.from({ length: 1_000 }, () => '5')), NEVER)
    assert.equal(readTimeLeft(Array.from({ length: 1_000 }, () => '5').join(', ')), NEVER)
  })

  test('of any text is 0 to 2^31-1, or never', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const ms = readTimeLeft(text)
        return ms === NEVER || (ms >= 0 && ms <= 2_147_483_647)
      }),
    )
  })
})

describe('the timeout of gRPC', () => {
  const cases: [string, number][] = [
    ['1H', 3_600_000],
    ['2M', 120_000],
    ['3S', 3_000],
    ['4m', 4],
    ['5u', 0.005],
    ['6n', 0.000006],
    ['0m', 0],
    ['99999999H', 2_147_483_647],
  ]
  for (const [text, ms] of cases) {
    test(`reads ${text}`, () => assert.ok(Math.abs(readGrpcTimeout(text) - ms) < 1e-9))
  }

  for (const value of ['', 'm', '5', '5s', '-1m', '1.5S', '123456789m', '5 m', '5mm', '1constructor', '5__proto__']) {
    test(`is no deadline when it says ${value || 'nothing'}`, () => {
      assert.equal(readGrpcTimeout(value), NEVER)
    })
  }
})

describe('the number of the attempt', () => {
  test('counts from 1 to 999', () => {
    assert.equal(readAttempt('1'), 1)
    assert.equal(readAttempt('3'), 3)
    assert.equal(readAttempt('999'), 999)
  })

  for (const value of ['0', '-2', '1000', 'two', '', '2, 2', undefined, ['2', '2']]) {
    test(`is 1 when it says ${value}`, () => assert.equal(readAttempt(value), 1))
  }
})

describe("the caller's name", () => {
  test('is letters, digits and a few signs', () => {
    assert.equal(readCaller('web'), 'web')
    assert.equal(readCaller('team-a/web_2.prod:v1'), 'team-a/web_2.prod:v1')
  })

  for (const value of ['', 'a b', 'a,b', '<script>', 'naïve', 'a"b', 'x'.repeat(129), ['web', 'web'], undefined]) {
    test(`is nobody's when it is ${String(value).slice(0, 20)}`, () => assert.equal(readCaller(value), ''))
  }
})
