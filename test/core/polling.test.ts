import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Polling } from '../../src/core/polling.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'

/** A question that answers as a test says, and notes when it was asked. */
function setUp(answer: (signal: AbortSignal) => Promise<number>) {
  const runtime = virtualRuntime()
  const asked: number[] = []
  const failures: unknown[] = []
  const polling = new Polling(runtime, {
    maxRetryMs: 4_000,
    ask: (signal) => {
      asked.push(runtime.clock.now())
      return answer(signal)
    },
    failed: (error) => failures.push(error),
  })
  polling.start()
  return { clock: runtime.clock, polling, asked, failures }
}

test('rests as long as the answer says', async () => {
  const { clock, polling, asked } = setUp(async () => 1_000)

  await clock.pass(3_500)
  polling.stop()
  await clock.pass(10_000)

  assert.deepEqual(asked, [0, 1_000, 2_000, 3_000])
  assert.equal(clock.pending, 0)
})

test('waits longer after each failure, with jitter, up to its limit, and is quick again after a success', async () => {
  let failing = true
  const { clock, polling, asked, failures } = setUp(async () => {
    if (failing) throw new TypeError('down')
    return 60_000
  })

  await clock.pass(20_000)
  const waits = asked.slice(1).map((at, i) => at - (asked[i] as number))
  const told = failures.length
  failing = false
  await clock.pass(4_000)
  failing = true
  const before = asked.length
  polling.wake()
  await clock.pass(600)
  polling.stop()

  for (const [i, wait] of waits.entries()) {
    const full = Math.min(4_000, 250 * 2 ** i)
    assert.ok(wait >= full / 2 && wait <= full, `wait ${i} was ${wait} ms`)
  }
  assert.equal(told, waits.length + 1)
  assert.ok(asked.length - before >= 3)
})

test('asks once more when it is woken while it asks', async () => {
  const answers: ((ms: number) => void)[] = []
  const { polling, asked } = setUp(() => new Promise((resolve) => answers.push(resolve)))

  polling.wake()
  polling.wake()
  await settle()
  const during = asked.length
  answers[0]?.(1_000)
  await settle()
  answers[1]?.(1_000)
  await settle()
  polling.stop()

  assert.equal(during, 1)
  assert.equal(asked.length, 2)
})

test('reports no failure and asks no more once it is stopped', async () => {
  const { clock, polling, asked, failures } = setUp(
    (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('abandoned')))),
  )

  polling.stop()
  polling.stop()
  await clock.pass(60_000)

  assert.equal(asked.length, 1)
  assert.deepEqual(failures, [])
  assert.equal(clock.pending, 0)
})
