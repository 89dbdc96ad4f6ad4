import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { leastRequest } from '../../src/balancer/least-request.ts'
import type { Endpoint } from '../../src/core/endpoint.ts'
import { CONNECT_FAILED, OK } from '../../src/core/verdict.ts'
import { balancerConformance, DrivenBalancer, near } from './conformance.ts'

balancerConformance('least request', leastRequest())
balancerConformance('least request of ten', leastRequest({ choices: 10 }))

describe('least request', () => {
  test('takes the one with fewer calls in flight', () => {
    const driven = new DrivenBalancer(leastRequest())
    const [busy, idle] = driven.update(driven.join(2)) as [Endpoint, Endpoint]
    busy.meter.start(0)

    for (let i = 0; i < 20; i++) assert.equal(driven.pick(), idle)
  })

  test('spreads calls in flight over all endpoints', () => {
    const driven = new DrivenBalancer(leastRequest())
    const endpoints = driven.update(driven.join(100))

    for (let i = 0; i < 100_000; i++) driven.begin()

    for (const endpoint of endpoints) assert.ok(Math.abs(endpoint.inFlight - 1_000) <= 5, `${endpoint.inFlight}`)
  })

  test('spreads them in proportion to weights', () => {
    const driven = new DrivenBalancer(leastRequest())
    const endpoints = driven.update(driven.join(9, (i) => ({ weight: 1 + (i % 3) })))

    for (let i = 0; i < 18_000; i++) driven.begin()

    for (const endpoint of endpoints) near(endpoint.inFlight, endpoint.weight * 1_000, 0.05)
  })

  test('finds one idle endpoint among busy ones more often with more choices', () => {
    const [two, ten] = [2, 10].map((choices) => {
      const driven = new DrivenBalancer(leastRequest({ choices }))
      const [idle, ...busy] = driven.update(driven.join(20))
      for (const endpoint of busy) endpoint.meter.start(0)
      return Array.from({ length: 2_000 }, () => driven.pick()).filter((endpoint) => endpoint === idle).length
    }) as [number, number]

    near(two, 200, 0.2)
    near(ten, 820, 0.2)
  })

  test('is not drawn to an endpoint that fails at once', () => {
    const driven = new DrivenBalancer(leastRequest())
    const [failing] = driven.update(driven.join(4))
    let failures = 0

    for (let i = 0; i < 4_000; i++) {
      driven.now += 1
      if (driven.pick() === failing) {
        driven.ask(failing as Endpoint, CONNECT_FAILED, 1)
        failures++
      } else {
        driven.begin()
        if (i >= 100) driven.finish(OK)
      }
    }

    assert.ok(failures < 100, `${failures} of 4000`)
  })

  test('says what it expects of its options', () => {
    for (const choices of [1, 11, 2.5]) {
      assert.throws(() => leastRequest({ choices }), {
        code: 'INMESH_CONFIG',
        message: /^leastRequest\.choices: expected an integer from 2 to 10/,
      })
    }
  })
})
