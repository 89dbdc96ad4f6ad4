import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Attempt } from '../../src/core/attempt.ts'
import { CANCELLED, OK, UNAVAILABLE } from '../../src/core/verdict.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import { HandGate, SmallService } from './small-service.ts'

const breaker = consecutiveFailures({ failures: 3, minBackoffMs: 1_000, jitter: 0 })

describe('an endpoint whose breaker trips', () => {
  test('leaves the balancer at once', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')

    small.trip('a')

    assert.deepEqual(small.shown[0], ['b:80'])
    assert.deepEqual(small.service.counts, { total: 2, ready: 1, shut: 1 })
    assert.deepEqual([small.endpoint('a').shut, small.endpoint('a').forced], [true, false])
  })

  test('comes back when its time comes, for exactly one probe', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('a')

    small.clock.advance(999)
    assert.deepEqual(served(small), ['b:80'])
    small.clock.advance(1)
    const attempts = Array.from({ length: 20 }, () => small.attempt() as Attempt)

    assert.equal(attempts.filter(({ endpoint }) => endpoint.name === 'a:80').length, 1)
    assert.deepEqual(small.shown[0], ['b:80'])
  })

  test('stays when the probe succeeds', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('a')
    small.clock.advance(1_000)

    probe(small, 'a').end(OK)

    assert.deepEqual(served(small), ['a:80', 'b:80'])
    assert.deepEqual(small.service.counts, { total: 2, ready: 2, shut: 0 })
    assert.equal(small.timers, 0)
  })

  test('comes back again and again while probes fail', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('a')

    for (const backoff of [1_000, 2_000, 4_000, 8_000]) {
      small.clock.advance(backoff - 1)
      assert.deepEqual(served(small), ['b:80'])
      small.clock.advance(1)
      probe(small, 'a').end(UNAVAILABLE)
      assert.deepEqual(served(small), ['b:80'])
      assert.equal(small.timers, 1)
    }
    small.clock.advance(16_000)
    probe(small, 'a').end(OK)

    assert.deepEqual(served(small), ['a:80', 'b:80'])
  })

  test('may be probed again at once when a probe says nothing', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('a')
    small.clock.advance(1_000)

    probe(small, 'a').end(CANCELLED)

    probe(small, 'a').end(OK)
    assert.equal(small.service.counts.shut, 0)
  })

  test('has its time from one timer a service', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c', 'd', 'e', 'f')

    small.trip('a')
    small.clock.advance(400)
    small.trip('b')
    small.clock.advance(400)
    small.trip('c')

    assert.equal(small.timers, 1)
    small.clock.advance(200)
    assert.deepEqual(small.shown[0], ['a:80', 'd:80', 'e:80', 'f:80'])
    assert.equal(small.timers, 1)
    small.clock.advance(800)
    assert.deepEqual(small.service.counts, { total: 6, ready: 6, shut: 0 })
    assert.equal(small.timers, 0)
  })

  test('stays out of sight when its weight changes meanwhile', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c')
    small.trip('a')

    small.update({ host: 'a', port: 80, weight: 2 }, 'b', 'c')

    assert.deepEqual(small.shown[0], ['b:80', 'c:80'])
    small.clock.advance(1_000)
    assert.equal(probe(small, 'a').endpoint.weight, 2)
  })

  test('leaves the balancer on the word of attempts at the object whose place it took', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    const old = Array.from({ length: 6 }, () => small.attempt() as Attempt)

    small.update({ host: 'a', port: 80, weight: 2 }, 'b')
    for (const attempt of old) attempt.end(attempt.endpoint.name === 'a:80' ? UNAVAILABLE : OK)

    assert.deepEqual(small.shown[0], ['b:80'])
  })

  test('is forgotten when it leaves the service, timer and all', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('a')

    small.update('b')

    assert.deepEqual(small.service.counts, { total: 1, ready: 1, shut: 0 })
    assert.equal(small.timers, 0)
  })

  test('changes nothing any more when it left the service before its attempts ended', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a')
    const attempts = Array.from({ length: 3 }, () => small.attempt() as Attempt)

    small.update('b')
    for (const attempt of attempts) attempt.end(UNAVAILABLE)

    assert.deepEqual(small.service.counts, { total: 1, ready: 1, shut: 0 })
    assert.equal(small.timers, 0)
  })
})

/** Takes attempts until one is at `host`; ends the others well. */
function probe(small: SmallService, host: string): Attempt {
  for (let i = 0; i < 20; i++) {
    const attempt = small.attempt() as Attempt
    if (attempt.endpoint.name === `${host}:80`) return attempt
    attempt.end(OK)
  }
  throw new Error(`${host} was not picked`)
}

describe('panic', () => {
  test('takes away at most half of the service, the oldest first; the rest is used without asking its gate', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c', 'd', 'e')

    for (const host of ['d', 'b', 'a', 'e']) {
      small.trip(host)
      small.clock.advance(10)
    }

    assert.deepEqual(small.shown[0], ['a:80', 'c:80', 'e:80'])
    assert.deepEqual(small.service.counts, { total: 5, ready: 3, shut: 4 })
    assert.deepEqual(
      small.service.endpoints.map(({ forced }) => forced),
      [true, false, false, false, true],
    )
    assert.deepEqual(served(small), ['a:80', 'c:80', 'e:80'])
  })

  test('remembers who was shut first when weights change', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    small.trip('b')
    small.clock.advance(10)
    small.trip('a')

    small.update('a', { host: 'b', port: 80, weight: 2 })

    assert.deepEqual(small.shown[0], ['a:80'])
  })

  test('never takes the only endpoint away, and still asks its gate when its time comes', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a')
    small.trip('a')

    assert.deepEqual(served(small), ['a:80'])
    assert.equal(small.endpoint('a').shut, true)
    small.clock.advance(1_000)
    small.attempt()?.end(OK)

    assert.deepEqual([small.endpoint('a').shut, small.endpoint('a').forced, small.timers], [false, false, 0])
  })

  test('tells a gate nothing of attempts that it was not asked for', () => {
    const gates: HandGate[] = []
    const small = new SmallService({ gate: () => gates[gates.push(new HandGate()) - 1] as HandGate })
    small.update('a')
    const [gate] = gates as [HandGate]
    gate.shutUntil = 1_000
    small.service.judged(small.endpoint('a'), 0)

    const attempt = small.attempt()
    attempt?.answered(OK)
    attempt?.end(UNAVAILABLE)

    assert.deepEqual(gate.told, [])
  })

  test('does not send an endpoint more than its probe while half of the service is worse', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c', 'd')
    for (const host of ['a', 'b', 'c']) {
      small.trip(host)
      small.clock.advance(100)
    }

    small.clock.advance(700)
    assert.deepEqual(small.shown[0], ['a:80', 'd:80'])
    const attempts = Array.from({ length: 20 }, () => small.attempt() as Attempt)

    assert.equal(attempts.filter(({ endpoint }) => endpoint.name === 'a:80').length, 1)
  })
})

/** Which endpoints serve so many attempts that end well at once. */
function served(small: SmallService, times = 20): string[] {
  const seen = new Set<string>()
  for (let i = 0; i < times; i++) {
    const attempt = small.attempt()
    if (attempt !== undefined) seen.add(attempt.endpoint.name)
    attempt?.end(OK)
  }
  return [...seen].sort()
}
