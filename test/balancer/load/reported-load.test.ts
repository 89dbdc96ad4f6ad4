import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { leastRequest } from '../../../src/balancer/least-request.ts'
import { inFlight } from '../../../src/balancer/load/in-flight.ts'
import { peakEwma } from '../../../src/balancer/load/peak-ewma.ts'
import { p2c } from '../../../src/balancer/p2c.ts'
import type { Endpoint } from '../../../src/core/endpoint.ts'
import type { LoadMeter } from '../../../src/core/load.ts'
import { OK } from '../../../src/core/verdict.ts'
import { virtualRuntime } from '../../support/virtual-time.ts'
import { DrivenBalancer, near } from '../conformance.ts'

const METERS = { 'peak EWMA': peakEwma(), 'calls in flight': inFlight() }

for (const [name, load] of Object.entries(METERS)) {
  /** The meters of one service's endpoints, and what each costs without a report. */
  const serviceOf = (count: number): { meters: Reporting[]; plain: number } => {
    const newMeter = load(virtualRuntime())
    const meters = Array.from({ length: count }, newMeter) as Reporting[]
    return { meters, plain: newMeter().cost(0) }
  }
  /** Steady reports, four a second, until `until`. */
  const reportAll = (meters: readonly Reporting[], utilizations: readonly number[], until: number): void => {
    for (let now = 250; now <= until; now += 250) meters.forEach((meter, i) => void meter.report(now, utilizations[i] as number))
  }

  describe(`a load report, by ${name},`, () => {
    test('changes nothing where there is nobody to compare with', () => {
      const { meters, plain } = serviceOf(1)

      reportAll(meters, [0.95], 1_000)

      assert.equal(meters[0]?.cost(1_000), plain)
    })

    test('makes the busy one dearer and the idle ones cheaper', () => {
      const { meters, plain } = serviceOf(3)

      reportAll(meters, [0.95, 0.2, 0.2], 20_000)

      // 10, 1.25 and 1.25 have the mean 4.2, of which 1.5 times is tolerated
      const [busy, idle] = meters.map((meter) => meter.cost(20_000) / plain) as [number, number]
      near(busy, 10 / 4.2 / 1.5, 0.1)
      near(idle, (1.25 / 4.2) * 1.5, 0.1)
    })

    test('changes nothing as long as all are about as busy', () => {
      for (const utilizations of [
        [0.1, 0.2, 0.3],
        [0.75, 0.8, 0.82],
        [0.92, 0.99, 3],
      ]) {
        const { meters, plain } = serviceOf(3)

        reportAll(meters, utilizations, 20_000)

        for (const meter of meters) assert.equal(meter.cost(20_000), plain, `${utilizations}`)
      }
    })

    test('leaves one that did not report between the busy and the idle', () => {
      const { meters, plain } = serviceOf(4)

      reportAll(meters.slice(1), [0.95, 0.2, 0.2], 20_000)

      const [silent, busy, idle] = meters.map((meter) => meter.cost(20_000)) as [number, number, number]
      assert.equal(silent, plain)
      assert.ok(idle < silent && silent < busy)
    })

    test('counts less by the second and nothing after ten', () => {
      const { meters, plain } = serviceOf(3)
      reportAll(meters, [0.95, 0.2, 0.2], 20_000)
      const excess = (now: number) => (meters[0] as Reporting).cost(now) / plain - 1

      near(excess(25_000), excess(20_000) / 2, 1e-6)
      assert.equal(excess(30_000), 0)
      assert.equal(excess(1e9), 0)
    })

    test('moves little if it is the only one of its kind, and all the same if it lasts', () => {
      const { meters } = serviceOf(3)
      reportAll(meters, [0.2, 0.2, 0.2], 20_000)
      const [meter] = meters as [Reporting]
      const before = meter.cost(20_000)

      meter.report(20_250, 0.95)
      assert.equal(meter.cost(20_250), before)
      for (let now = 20_500; now < 23_000; now += 250) meter.report(now, 0.95)

      assert.ok(meter.cost(23_000) > 2 * before)
    })

    test('keeps every cost within 1/6.7 and 6.7 times, and growing with the calls in flight, whatever is said and when', () => {
      const step = fc.record({
        of: fc.nat(4),
        ms: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 20_000, noNaN: true })),
        utilization: fc.double({ min: 0, minExcluded: true, noNaN: true, noDefaultInfinity: true }),
      })
      fc.assert(
        fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
          const { meters, plain } = serviceOf(5)
          let now = 0
          for (const { of, ms, utilization } of steps) {
            now += ms
            meters[of]?.report(now, utilization)
            for (const meter of meters) {
              const cost = meter.cost(now)
              assert.ok(cost >= plain * 0.149 && cost <= plain * 6.7, `${cost}`)
              meter.start(now)
              assert.ok(meter.cost(now) > cost)
              meter.end(now)
            }
          }
        }),
      )
    })
  })
}

const BALANCERS = { p2c: p2c(), 'p2c by calls in flight': p2c({ load: inFlight() }), 'least request': leastRequest() }

for (const [name, factory] of Object.entries(BALANCERS)) {
  /** Three endpoints answer a call after 10 ms each, a call comes every millisecond. */
  const three = () => {
    const driven = new DrivenBalancer(factory)
    const endpoints = driven.update(driven.join(3)) as [Endpoint, Endpoint, Endpoint]
    /** Each endpoint's share of the calls in so many seconds; `utilizations` says what it reports, 0 for nothing. */
    const during = (seconds: number, utilizations: readonly number[]): number[] => {
      const counts = new Map<Endpoint, number>(endpoints.map((endpoint) => [endpoint, 0]))
      for (let ms = 0; ms < seconds * 1_000; ms++) {
        driven.now++
        const endpoint = driven.begin() as Endpoint
        counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
        if (++begun > 10) driven.finish(OK)
        if (ms % 250 === 0) report(utilizations)
      }
      return endpoints.map((endpoint) => (counts.get(endpoint) ?? 0) / (seconds * 1_000))
    }
    const report = (utilizations: readonly number[]) =>
      endpoints.forEach(({ meter }, i) => {
        const utilization = utilizations[i] as number
        if (utilization > 0) meter.report?.(driven.now, utilization)
      })
    let begun = 0
    return during
  }

  describe(`${name} sends an endpoint`, () => {
    test('that is busier than the others fewer calls, but not none', () => {
      const during = three()
      during(2, [0.95, 0.3, 0.3])

      const [busy, ...idle] = during(10, [0.95, 0.3, 0.3]) as [number, number, number]

      assert.ok(busy > 0.005 && busy < 0.22, `${busy}`)
      for (const share of idle) near(share, (1 - busy) / 2, 0.1)
    })

    test('that has recovered its share again', () => {
      const during = three()
      during(5, [0.95, 0.3, 0.3])
      during(11, [0.3, 0.3, 0.3])

      for (const share of during(10, [0.3, 0.3, 0.3])) near(share, 1 / 3, 0.1)
    })

    test('that reports no more its share again', () => {
      const during = three()
      during(5, [0.95, 0.3, 0.3])
      during(11, [0, 0.3, 0.3])

      for (const share of during(10, [0, 0.3, 0.3])) near(share, 1 / 3, 0.1)
    })

    test('that claims to be idle among busy ones not everything', () => {
      const during = three()
      during(2, [0.001, 0.95, 0.95])

      const [liar, ...honest] = during(10, [0.001, 0.95, 0.95]) as [number, number, number]

      assert.ok(liar < 0.8, `${liar}`)
      for (const share of honest) assert.ok(share > 0.1, `${share}`)
    })
  })
}

type Reporting = LoadMeter & Required<Pick<LoadMeter, 'report'>>
