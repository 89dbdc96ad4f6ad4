import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { p2c } from '../../src/balancer/p2c.ts'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { CANCELLED, CONNECT_FAILED, OK, UNAVAILABLE, type Verdict } from '../../src/core/verdict.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import { SmallService } from './small-service.ts'

const breaker = consecutiveFailures({ failures: 3, minBackoffMs: 1_000, jitter: 0 })

type Step =
  | { readonly do: 'update'; readonly hosts: readonly string[]; readonly weight: number }
  | { readonly do: 'attempt'; readonly resend: boolean }
  | { readonly do: 'answered' | 'end'; readonly which: number; readonly verdict: Verdict }
  | { readonly do: 'advance' | 'stall'; readonly ms: number }

const aVerdict = fc.constantFrom(OK, UNAVAILABLE, UNAVAILABLE, CONNECT_FAILED, CANCELLED)
const aStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('update' as const),
      hosts: fc.subarray(['a', 'b', 'c', 'd', 'e', 'f']),
      weight: fc.constantFrom(1, 1, 2),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('attempt' as const), resend: fc.boolean() }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('answered' as const, 'end' as const), which: fc.nat(), verdict: aVerdict }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('advance' as const, 'stall' as const),
      ms: fc.constantFrom(1, 50, 500, 1_000, 5_000),
    }),
  },
)

test('keeps its books straight, whatever happens in whatever order', () => {
  fc.assert(
    fc.property(fc.array(aStep, { minLength: 10, maxLength: 150, size: 'max' }), fc.integer(), (steps, seed) => {
      const small = new SmallService({ seed, gate: breaker, balancer: p2c() })
      const open: Attempt[] = []
      let last: Endpoint | undefined
      for (const step of steps) {
        switch (step.do) {
          case 'update':
            small.update(...step.hosts.map((host) => ({ host, port: 80, weight: step.weight })))
            break
          case 'attempt': {
            const attempt = small.attempt(step.resend ? last : undefined)
            assert.equal(attempt === undefined, small.service.counts.ready === 0)
            if (attempt === undefined) break
            assert.equal(small.service.endpoints.includes(attempt.endpoint), true)
            assert.equal(attempt.endpoint.removed, false)
            open.push(attempt)
            last = attempt.endpoint
            break
          }
          case 'answered':
            open[step.which % open.length]?.answered(step.verdict)
            break
          case 'end': {
            const [attempt] = open.splice(step.which % open.length, 1)
            attempt?.end(step.verdict)
            attempt?.end(step.verdict)
            attempt?.answered(step.verdict)
            break
          }
          case 'advance':
            small.clock.advance(step.ms)
            break
          case 'stall':
            small.clock.stall(step.ms)
            break
        }
        assertStraight(small, open)
      }
      for (const attempt of open) attempt.end(OK)
      assertStraight(small, [])
      small.service.close()
      assert.equal(small.timers, 0)
    }),
    { numRuns: 300 },
  )
})

function assertStraight({ service, shown, clock, timers }: SmallService, open: readonly Attempt[]): void {
  const { total, ready, shut } = service.counts
  const ejected = service.endpoints.filter((endpoint) => endpoint.shut && !endpoint.forced)
  assert.equal(service.inFlight, open.length)
  assert.equal(total, service.endpoints.length)
  assert.equal(ready + ejected.length, total)
  assert.equal(shut, service.endpoints.filter((endpoint) => endpoint.shut).length)
  assert.ok(ejected.length <= Math.floor(total / 2))
  assert.deepEqual(
    shown[0] ?? [],
    service.endpoints.filter((endpoint) => !ejected.includes(endpoint)).map(({ name }) => name),
  )
  for (const endpoint of service.endpoints) {
    assert.equal(endpoint.inFlight, open.filter((attempt) => attempt.endpoint === endpoint).length)
    // a timer is late while the process stands still, but never missing
    assert.ok(endpoint.shut || endpoint.gate.shutUntil <= clock.now())
    if (endpoint.shut && Number.isFinite(endpoint.gate.shutUntil)) assert.equal(timers, 1)
  }
  assert.ok(timers <= 1)
}
