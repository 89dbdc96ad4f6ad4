import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Priority } from '../../../src/core/inbound.ts'
import { concurrencyLimit } from '../../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../../src/server/limits/fixed-limit.ts'
import type { Limit } from '../../../src/server/limits/limit.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'
import { PlainInbound } from '../support/plain-inbound.ts'

function limited(options: Parameters<typeof concurrencyLimit>[0]) {
  const runtime = virtualRuntime()
  const limit = concurrencyLimit(options)(runtime)
  const { clock } = runtime
  const ask = (priority: Priority = 'default') => {
    const inbound = new PlainInbound(clock)
    inbound.priority = priority
    return { inbound, refusal: limit.admit(inbound, clock.now()) }
  }
  const admitted = (count: number, priority?: Priority) =>
    Array.from({ length: count }, () => ask(priority)).filter(({ refusal }) => refusal === undefined).length
  return { limit, clock, ask, admitted }
}

test('refuses what exceeds the limit, and says for how long', () => {
  const { admitted, ask } = limited({ limit: fixedLimit({ requests: 4 }), retryAfterMs: 2_000 })

  assert.equal(admitted(10), 4)
  assert.deepEqual(ask().refusal, { reason: 'overloaded', retryAfterMs: 2_000 })
})

test('admits again when one is over', () => {
  const { limit, clock, ask, admitted } = limited({ limit: fixedLimit({ requests: 2 }) })
  const { inbound } = ask()
  admitted(5)

  limit.release?.(inbound, clock.now(), 'ok')

  assert.equal(admitted(5), 1)
})

test('sheds the sheddable first and keeps room for the critical', () => {
  const { admitted } = limited({ limit: fixedLimit({ requests: 100 }) })

  assert.equal(admitted(200, 'sheddable'), 75)
  assert.equal(admitted(200, 'default'), 25)
  assert.equal(admitted(200, 'critical'), 25)
})

test('admits at least one, whatever it is worth', () => {
  const { admitted } = limited({ limit: fixedLimit({ requests: 1 }) })

  assert.equal(admitted(3, 'sheddable'), 1)
})

describe('a window', () => {
  function watched() {
    const samples: [number, number, boolean][] = []
    const learning: Limit = { value: 1_000, sample: (...sample) => void samples.push(sample) }
    const made = limited({ limit: () => learning })
    const serve = (count: number, ms: number, reason: 'ok' | 'timeout' | 'error_status' | 'cancelled') => {
      const all = Array.from({ length: count }, () => made.ask().inbound)
      made.clock.advance(ms)
      for (const inbound of all) made.limit.release?.(inbound, made.clock.now(), reason)
    }
    return { samples, serve }
  }

  test('tells the mean latency and the most that were in flight', () => {
    const { samples, serve } = watched()
    serve(10, 1, 'ok') // the first window has no beginning

    serve(4, 60, 'ok')
    serve(6, 110, 'ok')

    assert.deepEqual(samples.at(-1), [90, 6, false])
  })

  test('takes at least 100 ms and 10 requests', () => {
    const { samples, serve } = watched()
    serve(10, 1, 'ok')
    samples.length = 0

    serve(50, 99, 'ok')
    assert.equal(samples.length, 0)
    serve(1, 1, 'ok')

    assert.equal(samples.length, 1)
  })

  test('tells that time ran out', () => {
    const { samples, serve } = watched()

    serve(10, 200, 'timeout')

    assert.equal(samples.at(-1)?.[2], true)
  })

  test('learns nothing from failures and from callers that left', () => {
    const { samples, serve } = watched()

    serve(100, 200, 'error_status')
    serve(100, 200, 'cancelled')

    assert.deepEqual(samples, [])
  })
})
