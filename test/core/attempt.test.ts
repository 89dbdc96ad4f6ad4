import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { leastRequest } from '../../src/balancer/least-request.ts'
import { p2c } from '../../src/balancer/p2c.ts'
import type { Attempt } from '../../src/core/attempt.ts'
import { type LoadMeter, unmetered } from '../../src/core/load.ts'
import { binaryReport } from '../../src/core/load-report-binary.ts'
import type { Observer } from '../../src/core/observer.ts'
import { noObserver } from '../../src/core/observer.ts'
import {
  ANSWER_TIMEOUT,
  BROKEN_OFF,
  CANCELLED,
  OK,
  OVERLOADED,
  RESET,
  TIMEOUT,
  TRY_TIMEOUT,
  UNAVAILABLE,
} from '../../src/core/verdict.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import type { VirtualClock } from '../support/virtual-time.ts'
import { HandGate, SmallService, turns } from './small-service.ts'

/** A service with one endpoint, and all that its meter, gate and observer are told, in order. */
function recorded(): { small: SmallService; told: string[]; gate: HandGate } {
  const gate = new HandGate()
  const { told } = gate
  const meter: LoadMeter = {
    cost: () => 0,
    start: (now) => told.push(`start ${now}`),
    sample: (now, elapsedMs, { outcome }) => told.push(`sample ${now} ${elapsedMs} ${outcome}`),
    end: (now) => told.push(`end ${now}`),
  }
  const observer: Observer = {
    ...noObserver,
    attemptStarted: ({ endpoint, number }) => told.push(`started ${number} ${endpoint.name} ${endpoint.inFlight}`),
    attemptEnded: ({ endpoint, elapsedMs }, { name }, { reason }, whole) =>
      told.push(`ended ${name} ${reason} ${elapsedMs} ${whole} ${endpoint.inFlight}`),
  }
  const small = new SmallService({ balancer: () => ({ ...turns(), meter: () => meter }), gate: () => gate, observer })
  small.update('a')
  return { small, told, gate }
}

function begun(small: SmallService): Attempt {
  const attempt = small.attempt()
  assert.ok(attempt)
  return attempt
}

describe('an attempt', () => {
  test('tells meter, gate and observer in this order', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    small.clock.advance(30)
    attempt.answered(OK)
    small.clock.advance(20)
    attempt.end(OK)

    assert.deepEqual(told, [
      ...['acquire', 'start 0', 'started 1 a:80 1'],
      ...['sample 30 30 success', 'judge success ok'],
      ...['end 50', 'release', 'ended default ok 30 50 0'],
    ])
  })

  test('is judged at its end when there was no answer', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    small.clock.advance(30)
    attempt.end(RESET)

    assert.deepEqual(told.slice(3), [
      ...['sample 30 30 failure', 'judge failure reset'],
      ...['end 30', 'release', 'ended default reset 30 30 0'],
    ])
  })

  test('is judged once more when what began well breaks off, but measured once', () => {
    for (const head of [OK, OVERLOADED, CANCELLED]) {
      const { small, told } = recorded()

      const attempt = begun(small)
      attempt.answered(head)
      attempt.end(BROKEN_OFF)

      assert.deepEqual(told.slice(3), [
        ...[`sample 0 0 ${head.outcome}`, `judge ${head.outcome} ${head.reason}`, 'judge failure broken_off'],
        ...['end 0', 'release', 'ended default broken_off 0 0 0'],
      ])
    }
  })

  test('is judged once when a failure ends as one', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    attempt.answered(UNAVAILABLE)
    attempt.end(UNAVAILABLE)

    assert.deepEqual(
      told.filter((line) => line.startsWith('judge')),
      ['judge failure unavailable'],
    )
  })

  test('is judged once when the caller leaves after the head', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    attempt.answered(OK)
    attempt.end(CANCELLED)

    assert.deepEqual(
      told.filter((line) => line.startsWith('judge')),
      ['judge success ok'],
    )
  })

  test('ends once and is answered once', () => {
    const { small, told, gate } = recorded()

    const attempt = begun(small)
    attempt.answered(OK)
    attempt.answered(UNAVAILABLE)
    attempt.end(OK)
    const after = told.length
    attempt.end(UNAVAILABLE)
    attempt.answered(UNAVAILABLE)

    assert.equal(told.length, after)
    assert.deepEqual([small.service.inFlight, small.endpoint('a').inFlight, gate.permits], [0, 0, 0])
  })

  test('knows its call, route, endpoint, number and beginning', () => {
    const small = new SmallService()
    small.update('a', 'b')
    small.clock.advance(5)

    const attempt = begun(small)

    assert.equal(attempt.route, small.route)
    assert.equal(attempt.endpoint.name, 'a:80')
    assert.deepEqual([attempt.number, attempt.startedAt, attempt.elapsedMs, attempt.status], [1, 5, -1, 0])
    assert.equal(small.attempt(attempt.endpoint)?.number, 2)
  })

  test('has been observed before calls that wait go on because of it', () => {
    const seen: string[] = []
    const observer: Observer = {
      ...noObserver,
      attemptEnded: () => void seen.push('ended'),
      endpointsChanged: () => void seen.push('changed'),
    }
    const small = new SmallService({ gate: consecutiveFailures({ failures: 1 }), observer })
    small.update('a', 'b')

    begun(small).end(UNAVAILABLE)

    assert.deepEqual(seen, ['changed', 'ended', 'changed'])
  })
})

describe('a stall of this process', () => {
  test('is taken out of what the meter is told', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    small.clock.advance(20)
    small.clock.stall(500)
    small.clock.advance(0)
    small.clock.advance(40)
    attempt.answered(OK)

    assert.equal(attempt.elapsedMs <= 90 && attempt.elapsedMs >= 60, true, `${attempt.elapsedMs}`)
    assert.equal(told[3], `sample 560 ${attempt.elapsedMs} success`)
    assert.equal(attempt.stalledMs(small.clock.now()), 560 - attempt.elapsedMs)
  })

  test('is taken out of an answer that comes before the late timers have run', () => {
    const small = new SmallService()
    small.update('a')

    const attempt = begun(small)
    small.clock.stall(500)
    attempt.answered(OK)

    assert.equal(attempt.elapsedMs <= 30, true, `${attempt.elapsedMs}`)
  })

  test('before it began is not its own', () => {
    const small = new SmallService()
    small.update('a')
    begun(small)
    small.clock.stall(500)
    small.clock.advance(0)

    const attempt = begun(small)
    small.clock.advance(40)
    attempt.answered(OK)

    assert.equal(attempt.elapsedMs, 40)
  })

  test('excuses a timeout, before the head and after it', () => {
    for (const verdict of [TRY_TIMEOUT, TIMEOUT, ANSWER_TIMEOUT]) {
      const { small, told } = recorded()

      const attempt = begun(small)
      small.clock.stall(200)
      attempt.end(verdict)
      assert.deepEqual(
        told.filter((line) => /sample|judge/.test(line)).map((line) => line.split(' ').at(-1)),
        ['ignored', 'try_timeout'],
      )

      told.length = 0
      const late = begun(small)
      late.answered(OK)
      small.clock.stall(200)
      late.end(verdict)
      assert.deepEqual(
        told.filter((line) => line.startsWith('judge')),
        ['judge success ok', 'judge ignored try_timeout'],
      )
    }
  })

  test('excuses no other failure, and no timeout when it was short', () => {
    const { small, told } = recorded()

    const reset = begun(small)
    small.clock.stall(200)
    reset.end(RESET)
    small.clock.advance(100)
    const slow = begun(small)
    small.clock.advance(400)
    small.clock.stall(40)
    slow.end(TRY_TIMEOUT)

    assert.deepEqual(
      told.filter((line) => line.startsWith('judge')),
      ['judge failure reset', 'judge failure try_timeout'],
    )
  })

  test('hides nothing from the observer', () => {
    const { small, told } = recorded()

    const attempt = begun(small)
    small.clock.stall(200)
    attempt.end(TRY_TIMEOUT)

    assert.match(told.at(-1) ?? '', /^ended default try_timeout \d+ 200 0$/)
  })
})

describe('a load report on an answer', () => {
  function reporting(): { attempt: Attempt; told: string[]; clock: VirtualClock } {
    const told: string[] = []
    const meter: LoadMeter = { ...unmetered, report: (now, utilization) => told.push(`${now} ${utilization}`) }
    const small = new SmallService({ balancer: () => ({ ...turns(), meter: () => meter }) })
    small.update('a')
    small.clock.advance(7)
    return { attempt: begun(small), told, clock: small.clock }
  }

  test('tells the meter how busy the server is, in each form and also after the end', () => {
    const { attempt, told, clock } = reporting()

    attempt.loadReported('TEXT cpu_utilization:0.25')
    clock.advance(100)
    attempt.loadReported('JSON {"application_utilization": 1.5, "cpu_utilization": 0.25}')
    attempt.end(OK)
    clock.advance(100)
    attempt.loadReported(binaryReport({ applicationUtilization: 0.5 }))

    assert.deepEqual(told, ['7 0.25', '107 1.5', '207 0.5'])
  })

  test("is not read within 100 ms of the endpoint's last, so that a server can not make its clients work", () => {
    const { attempt, told, clock } = reporting()

    for (let i = 0; i < 30; i++) {
      attempt.loadReported(`TEXT cpu_utilization:0.${10 + i}`)
      clock.advance(10)
    }

    assert.deepEqual(told, ['7 0.1', '107 0.2', '207 0.3'])
  })

  test('that says nothing of that tells it nothing', () => {
    const { attempt, told, clock } = reporting()

    for (const report of [
      'TEXT application_utilization:0',
      'TEXT mem_utilization:0.9',
      binaryReport({}),
      Buffer.alloc(3_000),
      ['TEXT cpu_utilization:0.3', 'TEXT cpu_utilization:0.4'],
    ]) {
      attempt.loadReported(report)
      clock.advance(100)
    }

    assert.deepEqual(told, [])
  })

  test('is passed over where the meter has no use for it', () => {
    const { small } = recorded()

    begun(small).loadReported('TEXT cpu_utilization:0.25')
  })

  test('never throws, and leaves a cost that is finite and above 0, whatever it is', () => {
    const part = fc.constantFrom(
      'TEXT ',
      'JSON ',
      'BIN ',
      'cpu_utilization',
      ':',
      '=',
      ',',
      '{"cpu_utilization":',
      '}',
      '1e308',
      '0.95',
    )
    const report = fc.oneof(
      fc.array(fc.oneof(part, fc.string()), { maxLength: 8 }).map((parts) => parts.join('')),
      fc.uint8Array({ maxLength: 60 }),
      fc.double({ min: 0 }).map((value) => `TEXT application_utilization:${value}`),
      fc
        .double({ min: 0, noNaN: true, noDefaultInfinity: true })
        .map((applicationUtilization) => binaryReport({ applicationUtilization })),
      fc.anything(),
    )
    fc.assert(
      fc.property(fc.array(report, { maxLength: 10 }), (reports) => {
        for (const balancer of [p2c(), leastRequest()]) {
          const small = new SmallService({ balancer })
          small.update('a', 'b')
          for (const one of reports) {
            begun(small).loadReported(one)
            for (const { meter } of small.service.endpoints) {
              const cost = meter.cost(small.clock.now())
              assert.ok(Number.isFinite(cost) && cost > 0, `${cost}`)
            }
            small.clock.advance(100)
          }
        }
      }),
    )
  })
})
