import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Admission } from '../../src/core/admission.ts'
import type { Refusal } from '../../src/core/inbound.ts'
import { Reception } from '../../src/server/reception.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { type PlainFacts, PlainInbound } from './support/plain-inbound.ts'
import { serving } from './support/serving.ts'

const REFUSAL: Refusal = { reason: 'overloaded', retryAfterMs: 0 }

function reception(options: Parameters<typeof serving>[0] = {}) {
  const runtime = virtualRuntime()
  const { mesh, seen } = serving(options, { runtime })
  const begin = (facts?: PlainFacts) => {
    const inbound = new PlainInbound(runtime.clock, facts)
    mesh.inbound.begin(inbound)
    return inbound
  }
  return { reception: mesh.inbound, seen, begin, clock: runtime.clock }
}

/** Refuses when told to, and remembers what was released. */
function admission(refuses: boolean, enforce = true) {
  const released: string[] = []
  const made: Admission = {
    enforce,
    admit: () => (refuses ? REFUSAL : undefined),
    release: (_inbound, _now, reason) => void released.push(reason),
  }
  return { made: () => made, released }
}

describe('a request', () => {
  test('is started and ended once', () => {
    const { reception: at, begin, seen } = reception()
    const inbound = begin()

    at.end(inbound, 200, 'ok')
    at.end(inbound, 500, 'broken_off')

    assert.deepEqual(seen.lines, ['started GET /', 'ended 200 ok'])
    assert.equal(at.inFlight, 0)
  })

  test('whose deadline has passed is served and counted, by default', () => {
    const { begin, seen } = reception()

    assert.equal(begin({ deadline: 0 }).refusal, undefined)
    assert.deepEqual(seen.lines, ['started GET /', 'refused deadline_passed shadow'])
  })

  test('whose deadline has passed is refused when that is switched on', () => {
    const { reception: at, begin, seen } = reception({ enforceDeadlines: true })
    const inbound = begin({ deadline: 0 })

    at.end(inbound, 504, 'error_status')

    assert.equal(inbound.refusal?.reason, 'deadline_passed')
    assert.deepEqual(seen.lines, ['started GET /', 'refused deadline_passed enforced', 'ended 504 deadline_passed'])
  })

  test('whose time is spent while its body arrives is refused before its handler', () => {
    const { reception: at, begin, clock } = reception({ enforceDeadlines: true })
    const inbound = begin({ deadline: 50 })

    const refusals = [49, 1].map((ms) => {
      clock.advance(ms)
      at.recheck(inbound)
      return inbound.refusal?.reason
    })

    assert.deepEqual(refusals, [undefined, 'deadline_passed'])
  })

  test('whose deadline has passed is counted once in shadow mode, however often it is looked at', () => {
    const { reception: at, begin, clock, seen } = reception()
    const [late, later] = [begin({ deadline: 0 }), begin({ deadline: 50 })]

    clock.advance(50)
    for (const inbound of [late, later, late, later]) at.recheck(inbound)

    assert.deepEqual(
      seen.lines.filter((line) => line.startsWith('refused')),
      ['refused deadline_passed shadow', 'refused deadline_passed shadow'],
    )
  })

  test('that is given up after its deadline is a timeout', () => {
    const { reception: at, begin, clock, seen } = reception()
    const inbound = begin({ deadline: 50 })

    clock.advance(60)
    at.end(inbound, 200, 'cancelled')

    assert.deepEqual(seen.endings, ['ended 200 timeout'])
  })
})

describe('admissions', () => {
  test('are asked in order until one refuses', () => {
    const [first, second, third] = [admission(false), admission(true), admission(false)]
    const { reception: at, begin } = reception({ admissions: [first.made, second.made, third.made] })

    const inbound = begin()
    at.end(inbound, 503, 'error_status')

    assert.equal(inbound.refusal, REFUSAL)
    assert.deepEqual([first.released, second.released, third.released], [['overloaded'], [], []])
  })

  test('take a permit back at the head of the answer, once', () => {
    const only = admission(false)
    const { reception: at, begin } = reception({ admissions: [only.made] })
    const inbound = begin()

    at.answered(inbound, 'ok')
    at.end(inbound, 200, 'cancelled')

    assert.deepEqual(only.released, ['ok'])
  })

  test('in shadow mode refuse nothing, count all and hold no permit', () => {
    const [shadow, open] = [admission(true, false), admission(false)]
    const { reception: at, begin, seen } = reception({ admissions: [shadow.made, open.made] })

    const inbound = begin()
    at.end(inbound, 200, 'ok')

    assert.equal(inbound.refusal, undefined)
    assert.deepEqual(seen.lines, ['started GET /', 'refused overloaded shadow', 'ended 200 ok'])
    assert.deepEqual([shadow.released, open.released], [[], ['ok']])
  })

  test('are not asked about health checks', () => {
    const { begin } = reception({ admissions: [admission(true).made] })

    for (const path of ['/ready', '/live', '/healthz?verbose', '/grpc.health.v1.Health/Check']) {
      assert.equal(begin({ path }).refusal, undefined, path)
    }
    for (const path of ['/readyness', '/api/ready', '/']) assert.equal(begin({ path }).refusal, REFUSAL, path)
  })

  test('are told what a request says it is worth', () => {
    const { begin } = reception({ admissions: [admission(false).made] })
    const worth = (said: string) => begin({ headers: { 'x-inmesh-priority': said } }).priority

    assert.deepEqual(['critical', 'sheddable', 'default', 'exempt', '__proto__'].map(worth), [
      'critical',
      'sheddable',
      'default',
      'default',
      'default',
    ])
  })
})

describe('a reception', () => {
  test('that has left refuses', () => {
    const { reception: at, begin } = reception()
    at.state = 'left'

    assert.equal(begin().refusal?.reason, 'draining')
  })

  test('tells when nothing is in flight', () => {
    const { reception: at, begin } = reception()
    const told: string[] = []
    const [a, b] = [begin(), begin()]
    at.whenIdle(() => told.push('idle'))
    at.whenIdle(() => told.push('taken back'))()

    at.end(a, 200, 'ok')
    assert.deepEqual(told, [])
    at.end(b, 200, 'ok')

    assert.deepEqual(told, ['idle'])
  })

  test('reports its load anew after a while, and no sooner', () => {
    const runtime = virtualRuntime()
    const { mesh } = serving({ loadReports: true }, { runtime, loop: () => 0.25 })
    const { load } = mesh.inbound
    const read = () => {
      load?.refresh(runtime.clock.now(), mesh.inbound.inFlight)
      return load?.text
    }

    assert.equal(read(), 'TEXT application_utilization:0.25')
    for (let i = 0; i < 10; i++) {
      const inbound = new PlainInbound(runtime.clock)
      mesh.inbound.begin(inbound)
      mesh.inbound.end(inbound, 500, i < 5 ? 'ok' : 'error_status')
    }
    runtime.clock.advance(249)
    assert.equal(read(), 'TEXT application_utilization:0.25')
    runtime.clock.advance(1)

    assert.equal(read(), 'TEXT application_utilization:0.25,rps_fractional:40,eps:20')
  })

  test('names every bad option', () => {
    const options = { enforceDeadlines: 'yes', admissions: [1], trustedProxie: [] } as never
    const { observer, runtime } = serving().mesh.inbound

    assert.throws(
      () => new Reception({ name: '', runtime, observer }, options),
      (error: Error) => {
        assert.match(error.message, /^inbound\.enforceDeadlines: expected true or false, got "yes"$/m)
        assert.match(error.message, /^inbound\.admissions: expected a list of at most 30 admissions, .* got an array$/m)
        assert.match(error.message, /^inbound\.trustedProxie: unknown option/m)
        return true
      },
    )
  })
})
