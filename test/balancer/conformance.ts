import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Balancer, BalancerFactory } from '../../src/core/balancer.ts'
import type { Call } from '../../src/core/call.ts'
import { type Address, Endpoint } from '../../src/core/endpoint.ts'
import { openGate } from '../../src/core/gate.ts'
import { unmetered } from '../../src/core/load.ts'
import { CANCELLED, CONNECT_FAILED, ERROR_STATUS, OK, OVERLOADED, type Verdict } from '../../src/core/verdict.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

export interface BalancerConformance {
  /** It shares calls that do not overlap in proportion to weights. */
  readonly weighted?: boolean
  /** Every endpoint gets calls in the end; true unless told otherwise. */
  readonly usesAll?: boolean
}

/** What every balancer owes to the engine. Registers its tests; call at the top of a balancer's own test file. */
export function balancerConformance(
  name: string,
  factory: BalancerFactory,
  { weighted = false, usesAll = true }: BalancerConformance = {},
): void {
  describe(`${name} is a balancer:`, () => {
    test('has no endpoint to offer before it was given one, and after all are gone', () => {
      const driven = new DrivenBalancer(factory)
      assert.equal(driven.pick(), undefined)
      driven.update(driven.join(3))
      assert.notEqual(driven.pick(), undefined)

      driven.update([])

      assert.equal(driven.pick(), undefined)
    })

    test('offers a single endpoint every time, even the one to avoid', () => {
      const driven = new DrivenBalancer(factory)
      const [only] = driven.update(driven.join(1))

      for (let i = 0; i < 20; i++) assert.equal(driven.attempt(OK, i % 2 === 0 ? only : undefined), only)
    })

    test('offers the other of two when one is to be avoided', () => {
      const driven = new DrivenBalancer(factory)
      const [one, other] = driven.update(driven.join(2))

      for (let i = 0; i < 50; i++) assert.equal(driven.attempt(i % 3 === 0 ? CONNECT_FAILED : OK, one), other)
    })

    test('compares as before when the endpoint to avoid is gone', () => {
      const driven = new DrivenBalancer(factory)
      const [gone] = driven.join(1)
      const two = driven.update(driven.join(2))

      for (let i = 0; i < 20; i++) assert.ok(two.includes(driven.attempt(OK, gone) as Endpoint))
    })

    test('keeps what was learnt of an endpoint that stays', () => {
      const driven = new DrivenBalancer(factory)
      const [stays, leaves, ...more] = driven.update(driven.join(4)) as [Endpoint, Endpoint, ...Endpoint[]]
      for (let i = 0; i < 50; i++) driven.attempt(i % 9 === 0 ? CONNECT_FAILED : OK)
      const before = stays.meter.cost(driven.now)

      driven.update([...more, stays])
      leaves.leave()

      assert.equal(stays.meter.cost(driven.now), before)
    })

    test('draws all of its chance from the runtime, and starts no timer', () => {
      const runs = [1, 2].map(() => {
        const driven = new DrivenBalancer(factory, 42)
        driven.update(driven.join(10))
        const names = Array.from({ length: 200 }, () => driven.attempt(OK)?.name)
        assert.equal(driven.runtime.clock.pending, 0)
        return names
      })

      assert.deepEqual(runs[0], runs[1])
    })

    test('shares nothing with the next balancer of the same factory', () => {
      const [driven, other] = [new DrivenBalancer(factory), new DrivenBalancer(factory)]
      driven.update(driven.join(3))

      assert.equal(other.pick(), undefined)
    })

    test('keeps its promises whatever happens', () => {
      fc.assert(
        fc.property(fc.array(step(), { maxLength: 120 }), fc.nat(), (steps, seed) => {
          const driven = new DrivenBalancer(factory, seed)
          const pool = driven.join(9, (i) => ({
            weight: i === 3 ? 7.5 : 1 + (i % 2),
            ...(i % 2 === 0 ? { zone: 'a' } : { zone: 'b' }),
          }))
          let present: readonly Endpoint[] = []
          for (const step of steps) {
            if (step.kind === 'update') {
              present = driven.update(pool.filter((_, i) => (step.mask >> i) & 1))
            } else if (step.kind === 'finish') {
              driven.finish(step.verdict)
            } else {
              checkPick(driven, present, step.avoid < 0 ? undefined : pool[step.avoid])
            }
            driven.now += step.ms
          }
        }),
        { numRuns: 200 },
      )
    })

    if (usesAll) {
      test('comes round to every endpoint', () => {
        const driven = new DrivenBalancer(factory)
        const endpoints = driven.update(driven.join(5))
        const seen = new Set<Endpoint>()

        for (let i = 0; i < 500; i++) seen.add(driven.attempt(OK) as Endpoint)

        assert.equal(seen.size, endpoints.length)
      })
    }

    if (weighted) {
      test('shares calls in proportion to weights', () => {
        const driven = new DrivenBalancer(factory)
        const endpoints = driven.update(driven.join(8, (i) => ({ weight: [1, 2, 3, 10][i % 4] as number })))

        const counts = new Map<Endpoint, number>()
        for (let i = 0; i < 32_000; i++) {
          const endpoint = driven.attempt(OK) as Endpoint
          counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
        }

        for (const endpoint of endpoints) near(counts.get(endpoint) ?? 0, endpoint.weight * 1_000, 0.15)
      })
    }
  })
}

function checkPick(driven: DrivenBalancer, present: readonly Endpoint[], avoid: Endpoint | undefined): void {
  const endpoint = driven.begin(avoid)
  if (present.length === 0) {
    assert.equal(endpoint, undefined)
    return
  }
  assert.ok(endpoint !== undefined && present.includes(endpoint), 'a present endpoint')
  if (present.length > 1) assert.notEqual(endpoint, avoid)
  const cost = endpoint.meter.cost(driven.now)
  assert.ok(Number.isFinite(cost) && cost >= 0, `a cost of 0 or more, got ${cost}`)
}

type Step = { readonly ms: number } & (
  | { readonly kind: 'update'; readonly mask: number }
  | { readonly kind: 'pick'; readonly avoid: number }
  | { readonly kind: 'finish'; readonly verdict: Verdict }
)

function step(): fc.Arbitrary<Step> {
  const ms = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 2_000, noNaN: true }))
  return fc.oneof(
    fc.record({ kind: fc.constant('update' as const), ms, mask: fc.integer({ min: 0, max: 511 }) }),
    fc.record({ kind: fc.constant('pick' as const), ms, avoid: fc.integer({ min: -3, max: 8 }) }),
    fc.record({ kind: fc.constant('pick' as const), ms, avoid: fc.integer({ min: -3, max: 8 }) }),
    fc.record({
      kind: fc.constant('finish' as const),
      ms,
      verdict: fc.constantFrom(OK, OK, ERROR_STATUS, OVERLOADED, CANCELLED),
    }),
  )
}

/** A balancer and its endpoints, driven as the engine drives them, one call after the other or overlapping. */
export class DrivenBalancer {
  readonly runtime: ReturnType<typeof virtualRuntime>
  readonly balancer: Balancer
  now = 1_000
  #calls = 0
  #joined = 0
  readonly #begun: { readonly endpoint: Endpoint; readonly at: number }[] = []

  constructor(factory: BalancerFactory, seed = 1) {
    this.runtime = virtualRuntime(seed)
    this.balancer = factory(this.runtime)
  }

  /** Makes endpoints; `update` shows them to the balancer. */
  join(count: number, traits: (i: number) => Partial<Address> = () => ({}), since = Number.NEGATIVE_INFINITY): Endpoint[] {
    return Array.from({ length: count }, (_, i) => {
      const address = { host: '10.0.0.1', port: 8_000 + this.#joined++, ...traits(i) }
      return new Endpoint(address, since, this.balancer.meter?.() ?? unmetered, openGate)
    })
  }

  update(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    this.balancer.update(endpoints)
    return endpoints
  }

  /** Each call has a path of its own, unless one is given. */
  pick(avoid?: Endpoint, call: Call = callTo(`/${this.#calls++}`)): Endpoint | undefined {
    return this.balancer.pick(call, this.now, avoid)
  }

  /** Picks and begins; `finish` ends the oldest. */
  begin(avoid?: Endpoint, call?: Call): Endpoint | undefined {
    const endpoint = this.pick(avoid, call)
    if (endpoint === undefined) return undefined
    endpoint.inFlight++
    endpoint.meter.start(this.now)
    this.#begun.push({ endpoint, at: this.now })
    return endpoint
  }

  finish(verdict: Verdict): void {
    const oldest = this.#begun.shift()
    if (oldest !== undefined) settle(oldest.endpoint, this.now, this.now - oldest.at, verdict)
  }

  /** A whole attempt that takes no time, and is told to have taken `elapsedMs`. */
  attempt(verdict: Verdict, avoid?: Endpoint, elapsedMs = 10): Endpoint | undefined {
    const endpoint = this.pick(avoid)
    if (endpoint !== undefined) this.ask(endpoint, verdict, elapsedMs)
    return endpoint
  }

  /** An attempt at a given endpoint. */
  ask(endpoint: Endpoint, verdict: Verdict, elapsedMs = 10): void {
    endpoint.inFlight++
    endpoint.meter.start(this.now)
    settle(endpoint, this.now, elapsedMs, verdict)
  }
}

function settle(endpoint: Endpoint, now: number, elapsedMs: number, verdict: Verdict): void {
  endpoint.meter.sample(now, elapsedMs, verdict)
  endpoint.inFlight--
  endpoint.meter.end(now)
}

export function callTo(path: string, headers: Readonly<Record<string, string>> = {}): Call {
  return { authority: 'voting', method: 'GET', path, idempotent: true, header: (name) => headers[name] }
}

/** Within a share of what was expected. */
export function near(got: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(got - expected) <= expected * tolerance, `expected ${expected} within ${tolerance * 100} %, got ${got}`)
}
