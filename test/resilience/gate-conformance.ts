import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Gate, GateFactory } from '../../src/core/gate.ts'
import { CANCELLED, ERROR_STATUS, OK, OVERLOADED, TRY_TIMEOUT, type Verdict } from '../../src/core/verdict.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

export interface GateConformance {
  /** Verdicts of one attempt after the other that shut a breaker; leave out for a gate that judges nothing. */
  readonly shutBy?: readonly Verdict[]
}

/** What every gate owes to the engine. Registers its tests; call at the top of a gate's own test file. */
export function gateConformance(name: string, factory: GateFactory, { shutBy }: GateConformance = {}): void {
  describe(`${name} is a gate:`, () => {
    test('admits the first attempt', () => {
      const gate = factory(virtualRuntime())

      assert.equal(gate.shutUntil <= 0, true)
      assert.equal(gate.acquire(0), true)
    })

    test('starts no timer', () => {
      const runtime = virtualRuntime()
      const driven = new DrivenGate(factory(runtime))

      for (const verdict of shutBy ?? [ERROR_STATUS]) driven.attempt(verdict)

      assert.equal(runtime.clock.pending, 0)
    })

    test('serves as many attempts as come one after the other and succeed', () => {
      const driven = new DrivenGate(factory(virtualRuntime()))

      for (let i = 0; i < 10_000; i++) assert.equal(driven.attempt(OK), true)
    })

    test('is not moved by attempts that say nothing', () => {
      const driven = new DrivenGate(factory(virtualRuntime()))

      for (let i = 0; i < 10_000; i++) assert.equal(driven.attempt(CANCELLED), true)
    })

    test('shares nothing with the next gate of the same factory', () => {
      const runtime = virtualRuntime()
      const [shut, other] = [new DrivenGate(factory(runtime)), factory(runtime)]
      for (const verdict of shutBy ?? []) shut.attempt(verdict)

      assert.equal(other.acquire(0), true)
    })

    test('refuses before shutUntil, whatever happened before', () => {
      fc.assert(
        fc.property(steps(), fc.integer(), (steps, seed) => {
          const driven = new DrivenGate(factory(virtualRuntime(seed)))
          for (const step of steps) {
            const mustRefuse = driven.gate.shutUntil > driven.now
            const admitted = driven.run(step)
            if (mustRefuse && step.kind === 'acquire') assert.equal(admitted, false)
          }
        }),
      )
    })

    test('takes nothing when it refuses', () => {
      fc.assert(
        fc.property(steps(), fc.integer(), (steps, seed) => {
          const [asked, spared] = [0, 1].map(() => new DrivenGate(factory(virtualRuntime(seed)))) as [DrivenGate, DrivenGate]
          for (const step of steps) {
            const admitted = spared.run(step)
            assert.equal(asked.run(step), admitted)
            if (step.kind === 'acquire' && !admitted)
              for (let i = 0; i < 3; i++) assert.equal(asked.gate.acquire(asked.now), false)
            assert.equal(asked.gate.shutUntil, spared.gate.shutUntil)
          }
        }),
      )
    })

    test('admits again once all is given back and shutUntil has passed, whatever happened before', () => {
      fc.assert(
        fc.property(steps(), fc.integer(), (steps, seed) => {
          const driven = new DrivenGate(factory(virtualRuntime(seed)))
          for (const step of steps) driven.run(step)

          driven.giveBackAll()

          assert.equal(Number.isFinite(driven.gate.shutUntil), true)
          driven.now = Math.max(driven.now, driven.gate.shutUntil)
          assert.equal(driven.gate.acquire(driven.now), true)
        }),
      )
    })

    if (shutBy !== undefined) breakerConformance(factory, shutBy)
  })
}

function breakerConformance(factory: GateFactory, shutBy: readonly Verdict[]): void {
  const shut = () => {
    const driven = new DrivenGate(factory(virtualRuntime()))
    for (const verdict of shutBy) driven.attempt(verdict)
    return driven
  }

  test('refuses when it has been shut, until shutUntil and not longer', () => {
    const driven = shut()
    const until = driven.gate.shutUntil

    assert.equal(until > 0 && Number.isFinite(until), true)
    assert.equal(driven.gate.acquire(until - 0.001), false)
    assert.equal(driven.gate.acquire(until), true)
  })

  test('lets one probe through, and nobody else while it is out', () => {
    const { gate } = shut()
    const until = gate.shutUntil

    assert.equal(gate.acquire(until), true)

    assert.equal(gate.shutUntil, Number.POSITIVE_INFINITY)
    assert.equal(gate.acquire(until), false)
    assert.equal(gate.acquire(until + 86_400_000), false)
  })

  test('serves again when the probe succeeds', () => {
    const driven = shut()
    driven.now = driven.gate.shutUntil

    driven.attempt(OK)

    for (let i = 0; i < 3; i++) assert.equal(driven.gate.acquire(driven.now), true)
  })

  test('lets the next probe through at once when a probe says nothing', () => {
    const driven = shut()
    driven.now = driven.gate.shutUntil

    assert.equal(driven.attempt(CANCELLED), true)

    assert.equal(driven.gate.acquire(driven.now), true)
    assert.equal(driven.gate.acquire(driven.now), false)
  })

  test('lets the next probe through when a probe is given back unjudged', () => {
    const driven = shut()
    driven.now = driven.gate.shutUntil
    driven.gate.acquire(driven.now)

    driven.gate.release(driven.now)

    assert.equal(driven.gate.acquire(driven.now), true)
  })

  test('never has two probes out when each attempt ends before the next begins', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 5_000 }), verdict()), { maxLength: 50 }), (attempts) => {
        const driven = shut()
        for (const [ms, verdict] of attempts) {
          driven.now += ms
          const probing = driven.gate.shutUntil > 0
          if (!driven.gate.acquire(driven.now)) continue
          if (probing) assert.equal(driven.gate.acquire(driven.now), false)
          driven.gate.judge(driven.now, verdict)
          driven.gate.release(driven.now)
        }
      }),
    )
  })
}

type Step =
  | { readonly kind: 'acquire' }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'judge'; readonly nth: number; readonly verdict: Verdict }
  | { readonly kind: 'release'; readonly nth: number; readonly verdict: Verdict }

function verdict(): fc.Arbitrary<Verdict> {
  return fc.constantFrom(OK, ERROR_STATUS, TRY_TIMEOUT, OVERLOADED, CANCELLED, { ...OVERLOADED, retryAfterMs: 3_000 })
}

/** Long enough that breakers trip, recover and trip again. */
function steps(): fc.Arbitrary<Step[]> {
  return fc.array(step(), { maxLength: 200, size: 'max' })
}

function step(): fc.Arbitrary<Step> {
  const nth = fc.nat({ max: 50 })
  return fc.oneof(
    { weight: 4, arbitrary: fc.constant<Step>({ kind: 'acquire' }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 3_000 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('judge' as const), nth, verdict: verdict() }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('release' as const), nth, verdict: verdict() }) },
  )
}

/** Asks a gate as the engine does: judges and gives back only what was admitted, each attempt judged before it is released. */
class DrivenGate {
  readonly gate: Gate
  now = 0
  readonly #out: { judged: boolean }[] = []

  constructor(gate: Gate) {
    this.gate = gate
  }

  /** One whole attempt, from permit to release. */
  attempt(verdict: Verdict): boolean {
    if (!this.gate.acquire(this.now)) return false
    this.gate.judge(this.now, verdict)
    this.gate.release(this.now)
    return true
  }

  run(step: Step): boolean {
    switch (step.kind) {
      case 'acquire': {
        const admitted = this.gate.acquire(this.now)
        if (admitted) this.#out.push({ judged: false })
        return admitted
      }
      case 'pass':
        this.now += step.ms
        return false
      case 'judge':
        this.#judge(step.nth, step.verdict)
        return false
      case 'release':
        this.#judge(step.nth, step.verdict)
        if (this.#out.splice(step.nth % Math.max(1, this.#out.length), 1).length > 0) this.gate.release(this.now)
        return false
    }
  }

  giveBackAll(): void {
    while (this.#out.length > 0) this.run({ kind: 'release', nth: 0, verdict: CANCELLED })
  }

  #judge(nth: number, verdict: Verdict): void {
    const attempt = this.#out[nth % Math.max(1, this.#out.length)]
    if (attempt === undefined || attempt.judged) return
    attempt.judged = true
    this.gate.judge(this.now, verdict)
  }
}
