import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AbortError } from 'p-retry'
import { systemClock } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { settle, VirtualClock } from '../support/virtual-time.ts'

/** A step that fails with each of `failures` in turn and then succeeds; keeps the numbers it was called with. */
function failing(...failures: unknown[]) {
  const numbers: number[] = []
  const step = async (number: number) => {
    numbers.push(number)
    if (failures.length > 0) throw failures.shift()
    return 'done'
  }
  return { step, numbers }
}

test('answers with the first success', async () => {
  const { step, numbers } = failing()

  assert.equal(await retryLoop(new VirtualClock())(step, () => 0), 'done')

  assert.deepEqual(numbers, [1])
})

test('counts steps and failures from 1', async () => {
  const { step, numbers } = failing('a', 'b', 'c')
  const asked: unknown[] = []

  await retryLoop(new VirtualClock())(step, (failure, number) => {
    asked.push([failure, number])
    return 0
  })

  assert.deepEqual(numbers, [1, 2, 3, 4])
  assert.deepEqual(asked, [
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ])
})

test('waits on the given clock, as long as it is told', async () => {
  const clock = new VirtualClock()
  const { step, numbers } = failing('a', 'b')
  const done = retryLoop(clock)(step, (_, number) => number * 1_000)

  await clock.pass(999)
  assert.deepEqual(numbers, [1])
  await clock.pass(1)
  assert.deepEqual(numbers, [1, 2])
  await clock.pass(2_000)

  assert.equal(await done, 'done')
  assert.equal(clock.pending, 0)
})

test('gives up with the very failure that was not worth another step', async () => {
  const [first, last] = [new Error('first'), new Error('last')]
  const { step, numbers } = failing(first, last, new Error('never reached'))

  await assert.rejects(
    retryLoop(new VirtualClock())(step, (failure) => (failure === last ? -1 : 0)),
    (thrown) => thrown === last,
  )

  assert.deepEqual(numbers, [1, 2])
})

for (const [name, failure] of [
  ['a TypeError', new TypeError('terminated')],
  ['a string', 'broken'],
  ['undefined', undefined],
  ['an error that p-retry takes for final', new AbortError('enough')],
] as const) {
  test(`goes on after ${name}`, async () => {
    const { step, numbers } = failing(failure, failure)

    assert.equal(await retryLoop(new VirtualClock())(step, () => 0), 'done')

    assert.deepEqual(numbers, [1, 2, 3])
  })

  test(`gives up with ${name} unchanged`, async () => {
    const { step } = failing(failure)

    const thrown = await retryLoop(new VirtualClock())(step, () => -1).then(assert.fail, (thrown: unknown) => thrown)

    assert.equal(thrown, failure)
  })
}

test('takes a step that throws before it returns a promise as a failure', async () => {
  const thrown = new Error('at once')
  const step = (): Promise<never> => {
    throw thrown
  }

  await assert.rejects(
    retryLoop(new VirtualClock())(step, () => -1),
    thrown,
  )
})

test('rejects with the error of a wait that can not be told', async () => {
  const bug = new Error('bug')
  const { step } = failing('a')

  await assert.rejects(
    retryLoop(new VirtualClock())(step, () => {
      throw bug
    }),
    bug,
  )
})

test('makes no step when it was aborted before', async () => {
  const { step, numbers } = failing()
  const reason = new Error('left')

  await assert.rejects(
    retryLoop(new VirtualClock())(step, () => 0, AbortSignal.abort(reason)),
    reason,
  )

  assert.deepEqual(numbers, [])
})

for (const reason of [new Error('left'), new TypeError('left'), 'left'] as const) {
  test(`ends at once when aborted while it waits, with ${reason instanceof Error ? reason.name : 'a string'} as reason`, async () => {
    const clock = new VirtualClock()
    const controller = new AbortController()
    const { step, numbers } = failing('a')
    const done = retryLoop(clock)(step, () => 60_000, controller.signal).then(assert.fail, (thrown: unknown) => thrown)
    await settle()
    assert.equal(clock.pending, 1)

    controller.abort(reason)

    assert.equal(await done, reason)
    assert.equal(clock.pending, 0)
    assert.deepEqual(numbers, [1])
  })

  test(`asks for no further step when aborted during one, with ${reason instanceof Error ? reason.name : 'a string'} as reason`, async () => {
    const controller = new AbortController()
    const asked: number[] = []
    const step = async () => {
      controller.abort(reason)
      throw new Error('broken')
    }
    const delay = (_: unknown, number: number) => asked.push(number)

    const thrown = await retryLoop(new VirtualClock())(step, delay, controller.signal).then(
      assert.fail,
      (thrown: unknown) => thrown,
    )

    assert.equal(thrown, reason)
    assert.deepEqual(asked, [])
  })
}

test('rejects with the reason when a step succeeds after the abort', async () => {
  const controller = new AbortController()
  const reason = new Error('left')
  const step = async () => {
    controller.abort(reason)
    return 'too late'
  }

  await assert.rejects(
    retryLoop(new VirtualClock())(step, () => -1, controller.signal),
    reason,
  )
})

test('does not wait when it is aborted by the one who says how long', async () => {
  const clock = new VirtualClock()
  const controller = new AbortController()
  const reason = new Error('left')
  const { step } = failing('a')

  const done = retryLoop(clock)(
    step,
    () => {
      controller.abort(reason)
      return 60_000
    },
    controller.signal,
  )

  await assert.rejects(done, reason)
  assert.equal(clock.pending, 0)
})

test('leaves no listener on the signal', async () => {
  const clock = new VirtualClock()
  const { signal } = new AbortController()
  let listeners = 0
  const counted = Object.assign(signal, {
    addEventListener: () => listeners++,
    removeEventListener: () => listeners--,
  }) as unknown as AbortSignal
  const { step } = failing('a', 'b', 'c')
  const done = retryLoop(clock)(step, () => 10, counted)

  await clock.pass(30)
  await done

  assert.equal(listeners, 0)
})

test('runs on the clock of the machine', async () => {
  const { step, numbers } = failing('a', 'b')

  assert.equal(await retryLoop(systemClock)(step, () => 1), 'done')

  assert.deepEqual(numbers, [1, 2, 3])
})
