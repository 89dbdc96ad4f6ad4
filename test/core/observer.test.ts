import assert from 'node:assert/strict'
import { test } from 'node:test'
import { noObserver, type Observer, observers } from '../../src/core/observer.ts'
import { OK } from '../../src/core/verdict.ts'
import { CALL, SmallService } from './small-service.ts'

const METHODS = ['callStarted', 'attemptStarted', 'attemptEnded', 'callEnded', 'endpointsChanged'] as const

function recording(name: string, told: unknown[][]): Observer {
  const all = METHODS.map((method) => [method, (...rest: unknown[]) => told.push([name, method, ...rest])])
  return Object.fromEntries(all) as Observer
}

test('tells each observer everything, in order', () => {
  const told: unknown[][] = []
  const all = observers([recording('first', told), recording('second', told)])
  const { service, route } = new SmallService()
  service.update([{ host: 'a', port: 80 }])
  const attempt = service.attempt(CALL, route, 1)
  assert.ok(attempt)

  all.callStarted(CALL, route)
  all.attemptStarted(attempt, route)
  all.attemptEnded(attempt, route, OK, 1)
  all.callEnded(CALL, route, OK, 2, 1, 200)
  all.endpointsChanged(service)

  const expected = [
    ['callStarted', CALL, route],
    ['attemptStarted', attempt, route],
    ['attemptEnded', attempt, route, OK, 1],
    ['callEnded', CALL, route, OK, 2, 1, 200],
    ['endpointsChanged', service],
  ]
  assert.deepEqual(
    told,
    expected.flatMap((line) => [
      ['first', ...line],
      ['second', ...line],
    ]),
  )
})

test('puts nothing around a single observer, and looks away when there is none', () => {
  const only = recording('only', [])

  assert.equal(observers([only]), only)
  assert.equal(observers([]), noObserver)
})
