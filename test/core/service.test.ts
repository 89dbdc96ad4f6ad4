import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { p2c } from '../../src/balancer/p2c.ts'
import type { Attempt } from '../../src/core/attempt.ts'
import type { Address, Endpoint } from '../../src/core/endpoint.ts'
import { unmetered } from '../../src/core/load.ts'
import { noObserver } from '../../src/core/observer.ts'
import { OK, UNAVAILABLE } from '../../src/core/verdict.ts'
import { consecutiveFailures } from '../../src/resilience/consecutive-failures.ts'
import { HandGate, SmallService, turns } from './small-service.ts'

const breaker = consecutiveFailures({ failures: 3, minBackoffMs: 1_000, jitter: 0 })

function names(endpoints: Iterable<Endpoint>): string[] {
  return [...endpoints].map(({ name }) => name)
}

function never(): void {
  assert.fail('not to be called')
}

describe('an update', () => {
  test('keeps the endpoints that stay, with all that was learnt of them', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b')
    const a = small.endpoint('a')
    small.clock.advance(100)

    small.update('c', 'a')

    assert.equal(small.endpoint('a'), a)
    assert.deepEqual(names(small.service.endpoints), ['c:80', 'a:80'])
    assert.deepEqual(small.shown[0], ['c:80', 'a:80'])
  })

  test('dates those of the first set back for ever, and those that join by the clock', () => {
    const small = new SmallService()
    small.update('a')
    small.clock.advance(100)

    small.update('a', 'b')

    assert.deepEqual([small.endpoint('a').since, small.endpoint('b').since], [Number.NEGATIVE_INFINITY, 100])
  })

  test('makes another endpoint with the same meter, gate and age when its traits change', () => {
    const traits: Partial<Address>[] = [{ weight: 2 }, { zone: 'z' }, { identity: 'i' }]
    for (const trait of traits) {
      const balancer = () => ({ ...turns(), meter: () => ({ ...unmetered }) })
      const small = new SmallService({ gate: breaker, balancer })
      small.update('a', 'b')
      const before = small.endpoint('a')

      small.update({ host: 'a', port: 80, ...trait }, 'b')

      const after = small.endpoint('a')
      assert.notEqual(after, before)
      assert.equal(after.meter, before.meter)
      assert.equal(after.gate, before.gate)
      assert.equal(after.since, before.since)
      assert.deepEqual([before.removed, after.removed], [true, false])
    }
  })

  test('does not take a weight of 1 for a change', () => {
    const small = new SmallService()
    small.update('a')
    const before = small.endpoint('a')

    small.update({ host: 'a', port: 80, weight: 1 })

    assert.equal(small.endpoint('a'), before)
  })

  test('shows new metadata on the same endpoint', () => {
    const small = new SmallService()
    small.update({ host: 'a', port: 80, metadata: { pid: '1' } })
    const before = small.endpoint('a')

    small.update({ host: 'a', port: 80, metadata: { pid: '2' } })

    assert.equal(small.endpoint('a'), before)
    assert.deepEqual(before.address.metadata, { pid: '2' })
  })

  test('counts the first of several addresses with the same host and port', () => {
    const small = new SmallService()
    small.update('b', 'c', 'a')

    small.update({ host: 'a', port: 80, weight: 3 }, 'b', 'c', 'a', { host: 'a', port: 80, weight: 5 })

    assert.deepEqual(
      small.service.endpoints.map(({ name, weight }) => `${name} ${weight}`),
      ['a:80 3', 'b:80 1', 'c:80 1'],
    )
  })

  test('tells neither balancer nor observer when nothing changed', () => {
    let changes = 0
    const small = new SmallService({ observer: { ...noObserver, endpointsChanged: () => void changes++ } })
    small.update('a', 'b')

    small.update('a', 'b')

    assert.deepEqual([small.shown.length, changes], [1, 1])
  })

  test('tells the observer of a first set that is empty', () => {
    let changes = 0
    const small = new SmallService({ observer: { ...noObserver, endpointsChanged: () => void changes++ } })

    small.update()

    assert.equal(changes, 1)
  })

  test('lets endpoints leave after the balancer has lost sight of them', () => {
    const small = new SmallService()
    small.update('a', 'b')
    const seen: unknown[] = []
    small.endpoint('a').onLeave(() => seen.push(small.shown[0]))

    small.update('b')
    small.update('a', 'b')

    assert.deepEqual(seen, [['b:80']])
  })

  test('leaves exactly the first address of each name, whatever the updates before', () => {
    const anAddress = fc.record({
      host: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      port: fc.constantFrom(80, 81),
      weight: fc.constantFrom(1, 2),
    })
    fc.assert(
      fc.property(fc.array(fc.array(anAddress, { maxLength: 8 }), { minLength: 1, maxLength: 6 }), (sets) => {
        const small = new SmallService()
        const everybody = new Map<Endpoint, number>()
        for (const set of sets) {
          const before = new Map(small.service.endpoints.map((e) => [`${e.name} ${e.weight}`, e]))
          small.service.update(set)

          const expected = set.filter((x, i) => set.findIndex((y) => y.host === x.host && y.port === x.port) === i)
          const got = small.service.endpoints
          assert.deepEqual(
            got.map(({ name, weight }) => `${name} ${weight}`),
            expected.map(({ host, port, weight }) => `${host}:${port} ${weight}`),
          )
          for (const endpoint of got) {
            const known = before.get(`${endpoint.name} ${endpoint.weight}`)
            if (known !== undefined) assert.equal(endpoint, known)
            if (!everybody.has(endpoint)) endpoint.onLeave(() => everybody.set(endpoint, (everybody.get(endpoint) ?? 0) + 1))
            if (!everybody.has(endpoint)) everybody.set(endpoint, 0)
          }
          for (const [endpoint, left] of everybody) {
            assert.equal(endpoint.removed, !got.includes(endpoint))
            assert.equal(left, endpoint.removed ? 1 : 0)
          }
        }
      }),
    )
  })
})

describe('an attempt', () => {
  test('goes to another endpoint than the one before', () => {
    const small = new SmallService({ balancer: p2c() })
    small.update('a', 'b', 'c')
    const a = small.endpoint('a')

    for (let i = 0; i < 100; i++) assert.notEqual(small.attempt(a)?.endpoint, a)
  })

  test('goes to the one before when there is no other', () => {
    const small = new SmallService()
    small.update('a')

    assert.equal(small.attempt(small.endpoint('a'))?.endpoint.name, 'a:80')
  })

  test('asks endpoints in turn when gates refuse, until one admits', () => {
    const gates: HandGate[] = []
    const small = new SmallService({ gate: () => gates[gates.push(new HandGate()) - 1] as HandGate })
    small.update(...Array.from({ length: 30 }, (_, i) => `h${i}`))
    for (const gate of gates) gate.open = false
    const last = gates[17] as HandGate
    last.open = true

    assert.equal(small.attempt()?.endpoint.gate, last)
    last.open = false
    assert.equal(small.attempt(), undefined)
    assert.equal(small.service.inFlight, 1)
  })

  test('goes back to the one before only when every other gate refuses', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 2, maxLength: 6 }), fc.nat(5), fc.integer(), (open, first, seed) => {
        const gates: HandGate[] = []
        const small = new SmallService({ seed, balancer: p2c(), gate: () => gates[gates.push(new HandGate()) - 1] as HandGate })
        small.update(...open.map((_, i) => `h${i}`))
        for (const [i, gate] of gates.entries()) gate.open = open[i] as boolean
        const previous = small.service.endpoints[first % open.length] as Endpoint

        const attempt = small.attempt(previous)

        const others = gates.filter((gate) => gate !== previous.gate && gate.open).length
        if (others > 0) assert.notEqual(attempt?.endpoint, previous)
        assert.equal(attempt === undefined, !gates.some((gate) => gate.open))
        assert.equal(
          gates.reduce((sum, gate) => sum + gate.permits, 0),
          attempt === undefined ? 0 : 1,
        )
      }),
    )
  })

  test('is refused while 100000 are in flight', () => {
    const small = new SmallService()
    small.update('a')
    const attempts = Array.from({ length: 100_000 }, () => small.attempt() as Attempt)

    assert.equal(small.attempt(), undefined)
    attempts[0]?.end(OK)
    assert.notEqual(small.attempt(), undefined)
  })
})

describe('a refusal', () => {
  test('says that there is no endpoint, with what discovery says as its cause', () => {
    const small = new SmallService()
    const cause = new Error('voting: dns: ENOTFOUND')
    small.service.discoveryFailed(cause)

    const error = small.service.refusal(0)

    assert.equal(error.message, 'voting: no endpoint (0 of 0 ready): dns: ENOTFOUND')
    assert.deepEqual(
      [error.code, error.reason, error.service, error.attempts],
      ['INMESH_NO_ENDPOINT', 'no_endpoint', 'voting', 0],
    )
    assert.equal(error.cause, cause)
  })

  test('forgets what discovery said once it has answered', () => {
    const small = new SmallService()
    small.service.discoveryFailed(new Error('late'))
    small.update('a')
    small.update()

    assert.equal(small.service.refusal(0).message, 'voting: no endpoint (0 of 0 ready)')
    assert.equal(small.service.refusal(0).cause, undefined)
  })

  test('says how many endpoints refused', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c')
    small.trip('b')
    small.attempt()

    const error = small.service.refusal(1)

    assert.equal(error.message, 'voting: every endpoint refused (2 of 3 ready, 1 in flight)')
    assert.deepEqual([error.code, error.reason, error.attempts], ['INMESH_REFUSED', 'refused', 1])
  })
})

describe('close()', () => {
  test('wakes whoever waits, and nobody may wait any more', () => {
    const small = new SmallService()
    const woken: boolean[] = []
    small.service.whenReady((ready) => woken.push(ready))

    small.service.close()
    small.service.close()

    assert.deepEqual(woken, [false])
    assert.equal(small.service.whenReady(never), undefined)
    assert.equal(small.timers, 0)
  })

  test('lets go of the endpoints and of the timer, also when attempts end later', () => {
    const small = new SmallService({ gate: breaker })
    small.update('a', 'b', 'c', 'd')
    small.trip('a')
    const attempts = Array.from({ length: 12 }, () => small.attempt() as Attempt)
    let left = 0
    for (const endpoint of small.service.endpoints) endpoint.onLeave(() => left++)

    small.service.close()
    for (const attempt of attempts) attempt.end(UNAVAILABLE)

    assert.equal(left, 4)
    assert.equal(small.timers, 0)
    assert.deepEqual([small.service.inFlight, small.attempt()], [0, undefined])
  })
})
