import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { OK } from '../../src/core/verdict.ts'
import { SmallService } from './small-service.ts'

describe('an endpoint that says it is about to go', () => {
  test('gets no more calls while there are others', () => {
    const small = new SmallService()
    small.update('a', 'b')

    small.service.leaving(small.endpoint('a'))

    assert.deepEqual(small.shown[0], ['b:80'])
    assert.deepEqual(small.service.counts, { total: 2, ready: 1, shut: 1 })
  })

  test('is asked all the same when it is the only one', () => {
    const small = new SmallService()
    small.update('a')

    small.service.leaving(small.endpoint('a'))

    assert.equal(small.attempt()?.endpoint.name, 'a:80')
  })

  test('is back after 10 s when discovery still names it, from one timer', () => {
    const small = new SmallService()
    small.update('a', 'b')
    small.service.leaving(small.endpoint('a'))
    assert.equal(small.timers, 1)

    small.clock.advance(9_999)
    assert.deepEqual(small.shown[0], ['b:80'])
    small.clock.advance(1)

    assert.deepEqual(small.shown[0], ['a:80', 'b:80'])
    assert.equal(small.timers, 0)
  })

  test('stays out however its calls in flight end, and how often it says so', () => {
    const small = new SmallService()
    small.update('a', 'b')
    const attempts = [small.attempt(), small.attempt()]
    const a = small.endpoint('a')

    small.service.leaving(a)
    small.service.leaving(a)
    const updates = small.shown.length
    for (const attempt of attempts) attempt?.end(OK)

    assert.equal(small.shown.length, updates)
    assert.deepEqual(small.shown[0], ['b:80'])
  })
})
