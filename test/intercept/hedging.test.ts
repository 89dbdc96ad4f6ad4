import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import type { HedgePolicy } from '../../src/core/hedge-policy.ts'
import { noObserver } from '../../src/core/observer.ts'
import {
  CANCELLED,
  CONNECT_FAILED,
  OK,
  OVERLOADED,
  TIMEOUT,
  TRY_TIMEOUT,
  UNAVAILABLE,
  type Verdict,
} from '../../src/core/verdict.ts'
import { type HedgeableCall, Hedging, type Rival } from '../../src/intercept/hedging.ts'
import { CALL, HandGate, SmallService } from '../core/small-service.ts'

interface TrialOptions {
  readonly endpoints?: number
  readonly attempts?: number
  readonly delayMs?: number
  /** How many hedges can be paid for. */
  readonly budget?: number
  readonly leftMs?: number
  readonly gate?: HandGate
}

class TrialRival implements Rival {
  readonly attempt: Attempt
  abandoned: Verdict | undefined

  constructor(attempt: Attempt) {
    this.attempt = attempt
  }

  abandon(verdict: Verdict): void {
    assert.equal(this.abandoned, undefined, 'abandoned twice')
    this.abandoned = verdict
    this.attempt.end(verdict)
  }
}

/** A door of a few lines: it makes attempts, and what becomes of them is said by the test. */
class Trial implements HedgeableCall {
  readonly ends: { number: number; reason: string }[] = []
  readonly observed: number[] = []
  readonly sent: TrialRival[] = []
  readonly small: SmallService
  readonly hedging: Hedging<TrialRival>
  canHedge = true
  leftMs: number
  withdrawn = 0

  constructor({ endpoints = 3, attempts = 2, delayMs = 50, budget = 100, leftMs = Infinity, gate }: TrialOptions = {}) {
    this.leftMs = leftMs
    const attemptEnded = (attempt: Attempt, _route: unknown, { reason }: Verdict) =>
      void this.ends.push({ number: attempt.number, reason })
    this.small = new SmallService({ observer: { ...noObserver, attemptEnded }, ...(gate && { gate: () => gate }) })
    this.small.update(...Array.from({ length: endpoints }, (_, i) => `e${i}`))
    const policy: HedgePolicy = {
      covers: () => true,
      delayMs: (made) => (made < attempts ? delayMs : -1),
      withdraw: () => this.withdrawn < budget && ++this.withdrawn > 0,
      observe: (ms) => void this.observed.push(ms),
    }
    this.hedging = new Hedging(policy, this.small.service, this)
  }

  get clock() {
    return this.small.clock
  }

  get running(): TrialRival[] {
    return this.sent.filter((rival) => this.hedging.has(rival))
  }

  /** As a door sends a first attempt, or a resend. */
  send(): TrialRival {
    const previous = this.sent.at(-1)?.attempt.endpoint
    const attempt = this.small.service.attempt(CALL, this.small.route, this.sent.length + 1, previous)
    assert.ok(attempt)
    return this.#join(attempt)
  }

  hedge(used: readonly Endpoint[]): void {
    const attempt = this.small.service.hedge(CALL, this.small.route, this.sent.length + 1, used)
    if (attempt !== undefined) this.#join(attempt)
  }

  #join(attempt: Attempt): TrialRival {
    const rival = new TrialRival(attempt)
    this.sent.push(rival)
    this.hedging.join(rival)
    return rival
  }

  answer(rival: TrialRival, status = 200): void {
    rival.attempt.status = status
    rival.attempt.answered(OK)
    this.hedging.won(rival)
  }

  fail(rival: TrialRival, verdict: Verdict): boolean {
    rival.attempt.end(verdict)
    return this.hedging.lost(rival, verdict)
  }

  /** Lets time pass in steps that nobody takes for a stall. */
  pass(ms: number): void {
    this.clock.advance(ms)
  }
}

describe('a call that waits for its answer', () => {
  test('is sent to another endpoint after the delay, and no sooner', () => {
    const trial = new Trial()
    trial.send()

    trial.pass(49)
    assert.equal(trial.sent.length, 1)
    trial.pass(1)

    const [first, second] = trial.sent.map(({ attempt }) => attempt)
    assert.deepEqual([first?.hedge, second?.hedge, second?.number], [false, true, 2])
    assert.notEqual(first?.endpoint, second?.endpoint)
  })

  test('is sent once more after each further delay, each time elsewhere', () => {
    const trial = new Trial({ attempts: 4, endpoints: 4 })
    trial.send()

    trial.pass(1_000)

    assert.deepEqual(
      trial.sent.map(({ attempt }) => attempt.startedAt),
      [0, 50, 100, 150],
    )
    assert.equal(new Set(trial.sent.map(({ attempt }) => attempt.endpoint)).size, 4)
  })

  test('is not sent to where it was already', () => {
    const trial = new Trial({ attempts: 5, endpoints: 2 })
    trial.send()

    trial.pass(1_000)

    assert.equal(trial.sent.length, 2)
    assert.equal(trial.withdrawn, 1)
  })

  test('is not hedged when there is but one endpoint, when nobody pays, or when its body is gone', () => {
    for (const options of [{ endpoints: 1 }, { budget: 0 }, {}]) {
      const trial = new Trial(options)
      trial.canHedge = Object.keys(options).length > 0
      trial.send()

      trial.pass(1_000)

      assert.equal(trial.sent.length, 1)
      assert.equal(trial.withdrawn, 0)
      assert.equal(trial.small.timers, 0)
    }
  })

  test('is not hedged when its deadline is nearer than the delay', () => {
    const trial = new Trial({ leftMs: 50 })
    trial.send()

    assert.equal(trial.small.timers, 0)
  })

  test('is not hedged at endpoints whose gate refuses or which are used for want of others', () => {
    const gate = new HandGate()
    const trial = new Trial({ gate })
    trial.send()
    gate.open = false

    trial.pass(1_000)
    assert.equal(trial.sent.length, 1)

    const panic = new Trial()
    panic.send()
    for (const endpoint of panic.small.service.endpoints) endpoint.forced = true
    panic.pass(1_000)
    assert.equal(panic.sent.length, 1)
  })

  test('waits longer by the time that this process stood still, and then a turn to read what came meanwhile', () => {
    const trial = new Trial()
    trial.send()
    trial.pass(20)
    trial.clock.stall(500)

    trial.pass(0)
    assert.equal(trial.sent.length, 1)
    trial.pass(50)

    assert.equal(trial.sent.length, 2)
  })
})

describe('the first answer', () => {
  test('cancels the others, and none is sent any more', () => {
    const trial = new Trial({ attempts: 3 })
    const first = trial.send()
    trial.pass(60)
    const [, second] = trial.sent as [TrialRival, TrialRival]

    trial.answer(second)

    assert.equal(first.abandoned, CANCELLED)
    assert.equal(second.abandoned, undefined)
    assert.equal(trial.small.timers, 0)
    trial.pass(1_000)
    assert.equal(trial.sent.length, 2)
  })

  test('teaches how long a first attempt takes, or had taken when it was given up', () => {
    const fast = new Trial()
    const quick = fast.send()
    fast.pass(20)
    fast.answer(quick)
    assert.deepEqual(fast.observed, [20])

    const slow = new Trial()
    slow.send()
    slow.pass(60)
    slow.answer(slow.sent[1] as TrialRival)
    assert.deepEqual(slow.observed, [60])
  })

  test('teaches nothing when it is an error, which may come too soon', () => {
    const trial = new Trial()
    const first = trial.send()

    trial.answer(first, 500)

    assert.deepEqual(trial.observed, [])
  })

  test('leaves the loser’s load as slow as it was seen to be', () => {
    const trial = new Trial()
    const first = trial.send()
    const samples: [number, string][] = []
    const { meter } = first.attempt.endpoint
    Object.defineProperty(first.attempt.endpoint, 'meter', {
      value: { ...meter, end() {}, sample: (_now: number, ms: number, v: Verdict) => void samples.push([ms, v.outcome]) },
    })
    trial.pass(70)

    trial.answer(trial.sent[1] as TrialRival)

    assert.deepEqual(samples, [[70, 'ignored']])
  })
})

describe('a failure that may be sent again', () => {
  test('reaches nobody while others are under way, and the next attempt follows at once', () => {
    const trial = new Trial({ attempts: 3 })
    const first = trial.send()
    trial.pass(50)

    assert.equal(trial.fail(first, UNAVAILABLE), true)
    trial.pass(0)

    assert.equal(trial.sent.length, 3)
    assert.equal(trial.hedging.leader, trial.sent[1])
    assert.equal(trial.hedging.latest, trial.sent[2]?.attempt)
  })

  test('is followed after as long as the server asks', () => {
    const trial = new Trial({ attempts: 3 })
    const first = trial.send()
    trial.pass(50)

    trial.fail(first, { ...OVERLOADED, retryAfterMs: 200 })
    trial.pass(199)
    assert.equal(trial.sent.length, 2)
    trial.pass(1)

    assert.equal(trial.sent.length, 3)
  })

  test('is the last one when the server asks for no other, and those under way are waited for', () => {
    const trial = new Trial({ attempts: 3 })
    const first = trial.send()
    trial.pass(50)

    assert.equal(trial.fail(first, { ...UNAVAILABLE, resend: 'never' }), true)
    trial.pass(1_000)

    assert.equal(trial.sent.length, 2)
    assert.equal(trial.fail(trial.sent[1] as TrialRival, UNAVAILABLE), false)
  })

  test('is told when it was the last one under way', () => {
    const trial = new Trial()
    const first = trial.send()
    trial.pass(50)

    assert.equal(trial.fail(trial.sent[1] as TrialRival, CONNECT_FAILED), true)
    assert.equal(trial.fail(first, TRY_TIMEOUT), false)
    assert.equal(trial.small.timers, 0)
    assert.deepEqual(trial.observed, [50])
  })

  test('of a lone attempt sets off nothing: the retry policy decides, and what it sends is hedged in its turn', () => {
    const trial = new Trial({ attempts: 3 })

    assert.equal(trial.fail(trial.send(), UNAVAILABLE), false)
    trial.pass(1_000)
    assert.equal(trial.sent.length, 1)
    trial.send()
    trial.pass(50)

    assert.equal(trial.sent.length, 3)
  })
})

test('an error that sending again would not mend is told at once', () => {
  const trial = new Trial()
  const first = trial.send()
  trial.pass(50)

  assert.equal(trial.fail(first, { ...OK, outcome: 'failure', reason: 'malformed' }), false)
})

test('the end of the call ends every attempt, by its total time with that verdict', () => {
  for (const [verdict, expected] of [
    [TIMEOUT, 'timeout'],
    [OK, 'cancelled'],
  ] as const) {
    const trial = new Trial({ attempts: 3 })
    trial.send()
    trial.pass(100)

    trial.hedging.stop(verdict)
    trial.hedging.stop(verdict)

    assert.deepEqual(
      trial.ends.map(({ reason }) => reason),
      [expected, expected, expected],
    )
    assert.equal(trial.small.timers, 0)
  }
})

type Step =
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'answer' | 'keep' | 'fail'; readonly which: number; readonly verdict: Verdict }
  | { readonly do: 'stop' }

const MENDABLE = [
  UNAVAILABLE,
  CONNECT_FAILED,
  TRY_TIMEOUT,
  { ...OVERLOADED, retryAfterMs: 30 },
  { ...UNAVAILABLE, resend: 'never' as const },
]

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(120) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('fail' as const, 'fail' as const, 'fail' as const, 'answer' as const, 'keep' as const),
      which: fc.nat(4),
      verdict: fc.constantFrom<Verdict>(...MENDABLE),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'stop' }) },
)

test('whatever comes in whatever order: bounded, paid for, elsewhere, and every attempt ended once', () => {
  const options = fc.record({
    endpoints: fc.integer({ min: 1, max: 5 }),
    attempts: fc.integer({ min: 2, max: 5 }),
    delayMs: fc.nat(100),
    budget: fc.nat(4),
  })
  fc.assert(
    fc.property(options, fc.array(step, { maxLength: 30 }), (given, steps) => {
      const trial = new Trial(given)
      let over = false
      trial.send()
      for (const next of steps) {
        if (next.do === 'pass') trial.pass(next.ms)
        else if (next.do === 'stop') {
          trial.hedging.stop(CANCELLED)
          over = true
        } else over = take(trial, next, over)
        check(trial, given, over)
      }
      trial.hedging.stop(CANCELLED)
      for (const { attempt } of trial.sent) attempt.end(OK)

      assert.deepEqual(
        trial.ends.map(({ number }) => number).sort((a, b) => a - b),
        trial.sent.map(({ attempt }) => attempt.number),
      )
      assert.equal(trial.small.service.inFlight, 0)
      for (const endpoint of trial.small.service.endpoints) assert.equal(endpoint.inFlight, 0)
      assert.equal(trial.small.timers, 0)
    }),
    { numRuns: 500 },
  )
})

/** @returns whether no attempt may follow any more */
function take(trial: Trial, { do: what, which, verdict }: Extract<Step, { which: number }>, over: boolean): boolean {
  const { running } = trial
  const rival = running[which % Math.max(1, running.length)]
  if (rival === undefined) return over
  if (what === 'answer') trial.answer(rival)
  else if (what === 'keep') trial.hedging.keep(rival)
  else assert.equal(trial.fail(rival, verdict), running.length > 1)
  return over || what !== 'fail' || running.length === 1
}

function check(trial: Trial, { attempts, budget }: Required<Pick<TrialOptions, 'attempts' | 'budget'>>, over: boolean): void {
  const { running, sent } = trial
  assert.ok(sent.length <= attempts, `${sent.length} attempts`)
  assert.ok(sent.length - 1 <= budget, `${sent.length - 1} hedges, ${budget} paid for`)
  assert.equal(trial.withdrawn, sent.length - 1, 'every hedge was paid for once')
  assert.equal(new Set(sent.map(({ attempt }) => attempt.endpoint)).size, sent.length, 'each elsewhere')
  assert.equal(trial.hedging.leader, running[0])
  if (over) assert.equal(trial.small.timers, 0)
}
