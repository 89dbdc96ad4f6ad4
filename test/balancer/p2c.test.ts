import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inFlight } from '../../src/balancer/load/in-flight.ts'
import { peakEwma } from '../../src/balancer/load/peak-ewma.ts'
import { p2c } from '../../src/balancer/p2c.ts'
import { Endpoint } from '../../src/core/endpoint.ts'
import { openGate } from '../../src/core/gate.ts'
import { CONNECT_FAILED, OK, OVERLOADED, TRY_TIMEOUT } from '../../src/core/verdict.ts'
import { balancerConformance, DrivenBalancer, near } from './conformance.ts'

balancerConformance('p2c', p2c())
balancerConformance('p2c by calls in flight', p2c({ load: inFlight() }))

describe('p2c', () => {
  test('takes the cheaper of two', () => {
    const driven = new DrivenBalancer(p2c())
    const [slow, fast] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    driven.ask(slow, OK, 20)
    driven.ask(fast, OK, 10)

    for (let i = 0; i < 20; i++) assert.equal(driven.pick(), fast)
  })

  test('favours nobody when both cost the same', () => {
    const driven = new DrivenBalancer(p2c())
    const [one] = driven.update(driven.join(2))

    const picks = Array.from({ length: 10_000 }, () => driven.pick())

    near(picks.filter((endpoint) => endpoint === one).length, 5_000, 0.05)
  })

  test('draws two different endpoints, every pair as often as any other', () => {
    const driven = new DrivenBalancer(p2c())
    const endpoints = driven.update(driven.join(4)) as Endpoint[]
    endpoints.forEach((endpoint, i) => {
      driven.ask(endpoint, OK, 10 + i)
    })
    const counts = new Map<Endpoint, number>()

    for (let i = 0; i < 60_000; i++) {
      const endpoint = driven.pick() as Endpoint
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
    }

    // The best wins its three of six pairs, the second two, the third one.
    const wins = endpoints.map((e) => counts.get(e) ?? 0)
    near(wins[0] as number, 30_000, 0.03)
    near(wins[1] as number, 20_000, 0.03)
    near(wins[2] as number, 10_000, 0.03)
    assert.equal(wins[3], 0)
  })

  test('still compares two when it must avoid one of those it drew', () => {
    const driven = new DrivenBalancer(p2c())
    const [avoided, fast, slow] = driven.update(driven.join(3)) as [Endpoint, Endpoint, Endpoint]
    driven.ask(avoided, OK, 1)
    driven.ask(fast, OK, 10)
    driven.ask(slow, OK, 20)

    for (let i = 0; i < 50; i++) assert.equal(driven.pick(avoided), fast)
  })

  test('balances evenly over a hundred equal endpoints', () => {
    const driven = new DrivenBalancer(p2c())
    const endpoints = driven.update(driven.join(100))
    for (const endpoint of endpoints) driven.ask(endpoint, OK, 10)

    for (let i = 0; i < 100_000; i++) driven.begin()

    for (const endpoint of endpoints) assert.ok(Math.abs(endpoint.inFlight - 1_000) <= 50, `${endpoint.inFlight} of 1000 ± 50`)
  })

  test('shares calls in inverse proportion to latency', () => {
    const driven = new DrivenBalancer(p2c())
    const endpoints = driven.update(driven.join(10))
    endpoints.forEach((endpoint, i) => {
      driven.ask(endpoint, OK, 10 + i)
    })

    for (let i = 0; i < 30_000; i++) driven.begin()

    const sum = endpoints.reduce((total, _, i) => total + 1 / (10 + i), 0)
    endpoints.forEach((endpoint, i) => {
      near(endpoint.inFlight, 30_000 / (10 + i) / sum, 0.05)
    })
  })

  test('shares calls under load in proportion to weights', () => {
    const driven = new DrivenBalancer(p2c())
    const endpoints = driven.update(driven.join(9, (i) => ({ weight: 1 + (i % 3) })))
    for (const endpoint of endpoints) driven.ask(endpoint, OK, 10)

    for (let i = 0; i < 18_000; i++) driven.begin()

    for (const endpoint of endpoints) near(endpoint.inFlight, endpoint.weight * 1_000, 0.05)
  })

  test('spreads calls over a hundred endpoints although one call in a hundred times out', () => {
    const driven = new DrivenBalancer(p2c())
    const endpoints = driven.update(driven.join(100))
    const counts = new Map<Endpoint, number>()

    for (let i = 0; i < 100_000; i++) {
      driven.now += 1
      const endpoint = driven.attempt(driven.runtime.random() < 0.01 ? TRY_TIMEOUT : OK) as Endpoint
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
    }

    const shares = endpoints.map((e) => (counts.get(e) ?? 0) / 100_000)
    const entropy = -shares.reduce((sum, p) => sum + (p === 0 ? 0 : p * Math.log2(p)), 0) / Math.log2(100)
    assert.ok(entropy > 0.95, `entropy ${entropy}`)
  })

  test('says which options it knows', () => {
    assert.throws(() => p2c({ laod: peakEwma() } as object), { code: 'INMESH_CONFIG', message: /p2c\.laod: unknown option/ })
    assert.throws(() => p2c({ load: 'peakEwma' } as object), { message: 'p2c.load: expected a function, got "peakEwma"' })
  })
})

describe('p2c probes', () => {
  test('an endpoint that was not heard from for a second, once', () => {
    const { driven, fast, stale } = oneStale()

    const picks = Array.from({ length: 200 }, () => driven.begin())

    assert.deepEqual(
      picks.filter((endpoint) => endpoint !== fast),
      [stale],
    )
  })

  test('nobody before a second is over', () => {
    const { driven, fast } = oneStale()
    driven.now -= 10

    for (let i = 0; i < 200; i++) assert.equal(driven.pick(), fast)
  })

  test('a new endpoint at once, and once as long as it has not answered', () => {
    const driven = new DrivenBalancer(p2c())
    const known = driven.join(100)
    driven.update(known)
    for (const endpoint of known) driven.ask(endpoint, OK, 5)
    const [unknown] = driven.join(1) as [Endpoint]
    driven.update([...known, unknown])

    let calls = 0
    for (let i = 0; i < 10_000; i++) {
      driven.now += 0.01
      if (driven.pick() !== unknown) continue
      calls++
      unknown.meter.start(driven.now)
    }

    assert.equal(calls, 1)
  })

  test('with one pick in ten at most, so that few calls do not make it blind', () => {
    const driven = new DrivenBalancer(p2c())
    const [slow, fast] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    let probes = 0

    for (let i = 0; i < 1_000; i++) {
      driven.now += 1_000
      const endpoint = driven.pick()
      if (endpoint === slow && i > 100) probes++
      driven.ask(endpoint as Endpoint, OK, endpoint === fast ? 20 : 200)
    }

    assert.ok(probes > 50 && probes <= 90, `${probes} probes in 900 picks`)
  })

  test('a slow endpoint only after ten times of what a probe costs', () => {
    const driven = new DrivenBalancer(p2c())
    const [slow, fast] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    driven.ask(slow, OK, 400)
    // 400 ms fade to 297 within 3 s.
    const firstProbe = askUntilPicked(driven, fast, slow)

    near(firstProbe, 2_970, 0.03)
  })

  test('an endpoint that failed as rarely as its penalty says', () => {
    const driven = new DrivenBalancer(p2c())
    const [failed, fast] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    driven.ask(failed, CONNECT_FAILED, 1)

    const firstProbe = askUntilPicked(driven, fast, failed)

    near(firstProbe, 13_280, 0.03)
  })

  test('nobody who asked to be left alone', () => {
    const driven = new DrivenBalancer(p2c({ load: inFlight() }))
    const [busy, idle] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    driven.ask(busy, { ...OVERLOADED, retryAfterMs: 60_000 }, 1)

    const firstProbe = askUntilPicked(driven, idle, busy)

    assert.ok(firstProbe >= 61_000, `${firstProbe}`)
  })

  test('nobody whose answers it does not hear of', () => {
    const driven = new DrivenBalancer(p2c())
    const meter = { cost: () => 50, start() {}, sample() {}, end() {} }
    const foreign = new Endpoint({ host: 'h', port: 1 }, 0, meter, openGate)
    const [fast] = driven.join(1) as [Endpoint]
    driven.update([fast, foreign])

    for (let i = 0; i < 100; i++) {
      driven.now += 5_000
      assert.equal(driven.pick(), fast)
      driven.ask(fast, OK, 10)
    }
  })
})

/** Two endpoints, one of them slower and silent for a second. */
function oneStale(): { driven: DrivenBalancer; fast: Endpoint; stale: Endpoint } {
  const driven = new DrivenBalancer(p2c({ load: () => () => fixedCost }))
  const [stale, fast] = driven.update(driven.join(2, (i) => ({ weight: i === 0 ? 1 : 2 }))) as [Endpoint, Endpoint]
  driven.ask(stale, OK)
  for (let i = 0; i < 20; i++) driven.pick()
  driven.now += 1_000
  driven.ask(fast, OK)
  return { driven, fast, stale }
}

const fixedCost = { cost: () => 10, start() {}, sample() {}, end() {} }

/** A call every 10 ms; answers after how many milliseconds `awaited` was picked. */
function askUntilPicked(driven: DrivenBalancer, fast: Endpoint, awaited: Endpoint): number {
  const from = driven.now
  while (driven.now - from < 400_000) {
    driven.now += 10
    const endpoint = driven.pick()
    if (endpoint === awaited) return driven.now - from
    driven.ask(fast, OK, 5)
  }
  return Number.POSITIVE_INFINITY
}
