import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PlainInbound } from '../server/support/plain-inbound.ts'
import { VirtualClock } from '../support/virtual-time.ts'

describe('the signal of a request', () => {
  test('fires when the deadline passes', () => {
    const clock = new VirtualClock()
    const { signal } = new PlainInbound(clock, { deadline: 200 })

    clock.advance(199)
    assert.equal(signal.aborted, false)
    clock.advance(1)

    assert.equal(signal.aborted, true)
    assert.equal(signal.reason.name, 'TimeoutError')
    assert.match(signal.reason.message, /deadline of 200 ms/)
  })

  test('fires when the caller leaves', () => {
    const inbound = new PlainInbound(new VirtualClock())
    const { signal } = inbound

    inbound.leave()

    assert.equal(signal.reason.name, 'AbortError')
  })

  test('tells that the deadline passed when somebody else saw it first', () => {
    const clock = new VirtualClock()
    const [early, late] = [new PlainInbound(clock, { deadline: 200 }), new PlainInbound(clock, { deadline: 200 })]
    const { signal } = early

    early.leave('timeout')
    late.leave('timeout')

    assert.equal(signal.reason.name, 'TimeoutError')
    assert.equal(late.signal.reason.name, 'TimeoutError')
  })

  test('has fired when it is asked for only afterwards', () => {
    const clock = new VirtualClock()
    const left = new PlainInbound(clock)
    const late = new PlainInbound(clock, { deadline: 10 })

    left.leave()
    clock.advance(10)

    assert.equal(left.signal.aborted, true)
    assert.equal(late.signal.aborted, true)
  })

  test('does not fire once the caller has its answer, and leaves no timer', () => {
    const clock = new VirtualClock()
    const inbound = new PlainInbound(clock, { deadline: 200 })
    const { signal } = inbound

    inbound.settle()
    clock.advance(1_000)

    assert.equal(signal.aborted, false)
    assert.equal(clock.pending, 0)
  })

  test('is one and the same', () => {
    const inbound = new PlainInbound(new VirtualClock())

    assert.equal(inbound.signal, inbound.signal)
  })
})

describe('a request that nobody watches', () => {
  test('has no timer', () => {
    const clock = new VirtualClock()

    new PlainInbound(clock, { deadline: 200 }).leave()

    assert.equal(clock.pending, 0)
  })
})

describe('onLeave', () => {
  test('tells each listener once', () => {
    const clock = new VirtualClock()
    const inbound = new PlainInbound(clock, { deadline: 50 })
    const told: string[] = []
    inbound.onLeave((reason) => told.push(`a ${reason.name}`))
    inbound.onLeave((reason) => told.push(`b ${reason.name}`))

    clock.advance(50)
    inbound.leave()

    assert.deepEqual(told, ['a TimeoutError', 'b TimeoutError'])
  })

  test('tells at once what has happened already', () => {
    const inbound = new PlainInbound(new VirtualClock())
    const told: string[] = []
    inbound.leave()

    inbound.onLeave((reason) => told.push(reason.name))

    assert.deepEqual(told, ['AbortError'])
  })

  test('can be taken back', () => {
    const inbound = new PlainInbound(new VirtualClock())
    const told: string[] = []
    const takeBack = inbound.onLeave(() => told.push('told'))

    takeBack()
    inbound.leave()

    assert.deepEqual(told, [])
  })

  test('tells nobody after the answer', () => {
    const inbound = new PlainInbound(new VirtualClock(), { deadline: 10 })
    const told: string[] = []
    inbound.onLeave(() => told.push('before'))

    inbound.settle()
    inbound.onLeave(() => told.push('after'))
    inbound.leave()

    assert.deepEqual(told, [])
  })
})

describe('the deadline of a request', () => {
  test('is told as what remains', () => {
    const clock = new VirtualClock()
    const inbound = new PlainInbound(clock, { deadline: 200 })

    clock.advance(150)
    assert.equal(inbound.remainingMs, 50)
    clock.advance(100)
    assert.equal(inbound.remainingMs, 0)
  })

  test('no longer bounds what goes on after the answer', () => {
    const inbound = new PlainInbound(new VirtualClock(), { deadline: 200 })

    inbound.settle()

    assert.equal(inbound.deadline, Number.POSITIVE_INFINITY)
  })
})
