import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readConfig } from '../src/config.ts'
import type { Call } from '../src/core/call.ts'
import type { Discovery, DiscoveryFactory } from '../src/core/discovery.ts'
import { MeshError } from '../src/core/errors.ts'
import { observers } from '../src/core/observer.ts'
import type { Service } from '../src/core/service.ts'
import { StallMeter } from '../src/core/stall.ts'
import { type OpenService, openService } from '../src/open-service.ts'
import { hedge } from '../src/resilience/hedge.ts'
import { settle, VirtualClock, virtualRuntime } from './support/virtual-time.ts'

const GOOD = { addresses: [{ host: '10.0.0.7', port: 8080 }] }

/** A service fed by a driver as somebody might write it who has no types. */
function opened(watch: (service: string, onUpdate: (update: unknown) => void) => unknown, options: object = {}): OpenService {
  const discovery: DiscoveryFactory = () => ({ watch }) as unknown as Discovery
  const config = readConfig({ services: { voting: { ...options, discovery } } }).services.get('voting')
  assert.ok(config)
  const runtime = virtualRuntime(1)
  const stalls = new StallMeter(new VirtualClock())
  return openService('voting', config, { runtime, background: runtime, stalls, observer: observers([]) })
}

function driven(options?: object): { service: Service; update: (update: unknown) => void; open: OpenService } {
  let update: (update: unknown) => void = () => assert.fail('not watched')
  const open = opened((_, onUpdate) => {
    update = onUpdate
    return () => {}
  }, options)
  return { service: open.table.service, update: (u) => update(u), open }
}

function assertFailed(service: Service, message: string): void {
  const error = service.discoveryError
  assert.ok(error instanceof MeshError)
  assert.deepEqual([error.code, error.service, error.message], ['INMESH_DISCOVERY', 'voting', message])
}

describe('an update that is none', () => {
  const cases: [unknown, string][] = [
    [undefined, 'expected { addresses } or { error }, got undefined'],
    ['10.0.0.7:8080', 'expected { addresses } or { error }, got "10.0.0.7:8080"'],
    [[], 'addresses: expected an array, got undefined'],
    [{ addresses: null }, 'addresses: expected an array, got null'],
    [{ addresses: ['1.2.3.4:5'] }, 'addresses[0]: expected { host, port }, got "1.2.3.4:5"'],
    [{ addresses: [null] }, 'addresses[0]: expected host:port or { host, port }, got null'],
    [
      {
        addresses: [
          { host: 'a', port: 1 },
          { host: 'b', port: 'x' },
        ],
      },
      'addresses[1].port: expected an integer from 1 to 65535, got "x"',
    ],
    [{ addresses: [{ port: 1 }] }, 'addresses[0].host: missing'],
    [{ error: 'timeout' }, 'error: expected an Error, got "timeout"'],
  ]

  for (const [update, message] of cases) {
    test(`is told as a failure of discovery, and the last set stays: ${message}`, () => {
      const driver = driven()
      driver.update(GOOD)

      driver.update(update)

      assertFailed(driver.service, `voting: discovery: ${message}`)
      assert.deepEqual(
        driver.service.endpoints.map((e) => e.name),
        ['10.0.0.7:8080'],
      )
      driver.update(GOOD)
      assert.equal(driver.service.discoveryError, undefined)
      driver.open.stop()
    })
  }
})

test('an error of discovery is told as it is', () => {
  const { service, update } = driven()
  const error = new Error('no route')

  update({ error })

  assert.equal(service.discoveryError, error)
})

test('hosts are taken in their canonical form', () => {
  const { service, update } = driven()

  update({ addresses: [{ host: 'Voting-1', port: 80 }] })

  assert.equal(service.endpoints[0]?.name, 'voting-1:80')
})

test('what an update sets off may throw', () => {
  let made = 0
  const breaker = () => {
    if (made++ > 0) throw new Error('no breaker')
    return { shutUntil: 0, acquire: () => true, judge() {}, release() {} }
  }
  const { service, update } = driven({ breaker })

  update(GOOD)

  assertFailed(service, 'voting: discovery: update failed: no breaker')
})

describe('a watch', () => {
  test('that throws leaves calls without an endpoint, and says why', () => {
    const cause = new Error('no token')
    const open = opened(() => {
      throw cause
    })
    const { service } = open.table

    assertFailed(service, 'voting: discovery: watch failed: no token')
    assert.equal(service.discoveryError?.cause, cause)
    const refusal = service.refusal(0)
    assert.equal(refusal.code, 'INMESH_NO_ENDPOINT')
    assert.equal(refusal.message, 'voting: no endpoint (0 of 0 ready): discovery: watch failed: no token')
    assert.equal(refusal.cause, service.discoveryError)
    open.stop()
  })

  test('that breaks a promise fails too', async () => {
    const open = opened(async () => Promise.reject(new Error('no token')))

    await settle()

    assertFailed(open.table.service, 'voting: discovery: watch failed: no token')
    open.stop()
  })

  test('that returns no function, or one that throws, can be stopped all the same', () => {
    const none = opened(() => undefined)
    const bad = opened(() => () => assert.fail('stop'))

    none.stop()
    bad.stop()
    bad.stop()
  })

  test('is not listened to once it is stopped', () => {
    const { service, update, open } = driven()
    open.stop()

    update(GOOD)

    assert.deepEqual(service.endpoints, [])
  })
})

describe('the hedging of a service', () => {
  const call = (path: string): Call => ({ authority: 'voting', method: 'GET', path, idempotent: true, header: () => undefined })
  const at = (prefix: string) => [{ path: { value: prefix } }]

  test('is each route’s own, unless the route has another or none', () => {
    const { open } = driven({
      hedge: hedge({ delayMs: 10 }),
      routes: [
        { name: 'own', matches: at('/own'), hedge: hedge({ delayMs: 20 }) },
        { name: 'none', matches: at('/none'), hedge: 'off' },
        { name: 'same', matches: at('/same') },
      ],
    })
    const of = (path: string) => open.table.route(call(path)).hedge

    assert.deepEqual(
      ['/', '/own', '/none', '/same'].map((path) => of(path)?.delayMs(1)),
      [10, 20, undefined, 10],
    )
    assert.notEqual(of('/same'), of('/'))
    open.stop()
  })

  test('is off where nobody asks for it', () => {
    const { open } = driven()

    assert.equal(open.table.route(call('/')).hedge, undefined)
    open.stop()
  })

  test('is paid from the budget of its resends', () => {
    const { open, service } = driven({ hedge: 'hedge', retryBudget: { 'retry-budget': { percent: 0, minPerSecond: 0.1 } } })

    assert.equal(service.budget.balance, 1)
    assert.equal(open.table.route(call('/')).hedge?.withdraw(), true)
    assert.equal(service.budget.balance, 0)
    open.stop()
  })
})
