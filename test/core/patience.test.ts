import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { callerLeft, deadlinePassed, isForWantOfCaller } from '../../src/core/patience.ts'

describe('an error for want of a caller', () => {
  test('is known as such, also deep within others, and as what gRPC makes of it', () => {
    const wrapped = new TypeError('fetch failed', { cause: new Error('cancelled', { cause: callerLeft() }) })
    const ofGrpc = Object.assign(new Error('1 CANCELLED: the caller has left'), { code: 1, details: callerLeft().message })

    assert.deepEqual([callerLeft(), deadlinePassed(50), wrapped, ofGrpc].map(isForWantOfCaller), [true, true, true, true])
  })

  test('is no other one, and nothing that is no error', () => {
    const circle = new Error('circle')
    circle.cause = circle
    const others = [circle, new DOMException('the caller has left', 'AbortError'), 'the caller has left', null, undefined, 7, {}]

    assert.deepEqual(
      others.map(isForWantOfCaller),
      others.map(() => false),
    )
  })
})
