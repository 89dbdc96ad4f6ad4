import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { RouteTable } from '../../src/core/route.ts'
import { isServiceName } from '../../src/core/service-name.ts'
import { router } from '../../src/routing/router.ts'
import { SmallService } from '../core/small-service.ts'

/** A router that says by which name it opened the service. */
function namesOf(configured: string[], implicit: (host: string) => boolean = () => false) {
  const made: string[] = []
  const forgotten: string[] = []
  const services = new Map<string, SmallService>()
  const names = new Map<RouteTable, string>()
  const routes = router({
    configured: new Set(configured),
    implicit,
    make(name) {
      made.push(name)
      const small = new SmallService()
      const { service, route } = small
      services.set(name, small)
      const table: RouteTable = { service, route: () => route }
      names.set(table, name)
      return table
    },
    forget(table) {
      forgotten.push(names.get(table) as string)
      table.service.close()
    },
  })
  const name = (authority: string, secure = false): string | undefined => {
    const table = routes.table(authority, secure)
    return table && names.get(table)
  }
  const small = (of: string): SmallService => services.get(of) as SmallService
  return { name, made, routes, forgotten, small }
}

describe('a configured name', () => {
  test('is found with any port, or none', () => {
    const { name, made } = namesOf(['voting'])

    assert.deepEqual(
      [name('voting'), name('voting:8080'), name('voting', true), name('voting:8443', true)],
      Array(4).fill('voting'),
    )
    assert.deepEqual(made, ['voting'])
  })

  test('with a port is found on that port alone, and before one without', () => {
    const { name } = namesOf(['voting:8080', 'emoji', 'emoji:9090'])

    assert.deepEqual([name('voting:8080'), name('voting'), name('voting:80801')], ['voting:8080', undefined, undefined])
    assert.deepEqual([name('emoji:9090'), name('emoji:9091')], ['emoji:9090', 'emoji'])
  })

  test("with the scheme's own port is found when the port is left out", () => {
    const { name } = namesOf(['voting:443', 'voting:80'])

    assert.deepEqual([name('voting', true), name('voting:443'), name('voting')], ['voting:443', 'voting:443', 'voting:80'])
    assert.equal(name('voting:8080'), undefined)
  })

  test('may be an IP address', () => {
    const { name } = namesOf(['[::1]', '[fe80::1]:8080', '10.0.0.7:8080'])

    assert.deepEqual([name('[::1]'), name('[::1]:8080'), name('[fe80::1]:8080')], ['[::1]', '[::1]', '[fe80::1]:8080'])
    assert.deepEqual([name('[fe80::1]'), name('10.0.0.7:8080'), name('10.0.0.7')], [undefined, '10.0.0.7:8080', undefined])
  })
})

describe('a name that was not configured', () => {
  test('is a service when the environment may know it', () => {
    const { name } = namesOf([], (host) => host === 'voting')

    assert.deepEqual(
      [name('voting'), name('voting:8080'), name('emoji'), name('emoji:8080')],
      ['voting', 'voting:8080', undefined, undefined],
    )
  })

  test('is one on 443 for https without a port, and without port on 80', () => {
    const { name, made } = namesOf([], () => true)

    assert.deepEqual([name('voting', true), name('voting:443', true), name('voting:443')], Array(3).fill('voting:443'))
    assert.deepEqual([name('voting'), name('voting:80'), name('voting:80', true)], Array(3).fill('voting'))
    assert.deepEqual(made, ['voting:443', 'voting'])
  })
})

describe('a thousand names that were not configured', () => {
  function full() {
    const all = namesOf(['mine'], () => true)
    all.name('mine')
    for (let i = 0; i < 1_000; i++) all.name(`s${i}`)
    return all
  }

  test('make room for further ones: the first that was opened is forgotten', () => {
    const { name, routes, forgotten } = full()
    const held = routes.table('s0', false)
    assert.deepEqual([forgotten, held?.forgotten], [[], undefined])

    for (let i = 1_000; i < 2_000; i++) name(`s${i}`)

    assert.deepEqual([forgotten.length, forgotten[0], forgotten.at(-1), held?.forgotten], [1_000, 's0', 's999', true])
    assert.equal([...routes.tables].length, 1_001)
    assert.equal(routes.table('mine', false)?.forgotten, undefined)
  })

  test('do not lock out a service that comes later, nor one of theirs that comes back', () => {
    const { name, routes } = full()
    const held = routes.table('s0', false)

    assert.equal(name('voting'), 'voting')
    assert.equal(name('s0'), 's0')
    assert.notEqual(routes.table('s0', false), held)
  })

  test('keep those that have endpoints, calls in flight or calls that wait', () => {
    const { name, small, forgotten } = full()
    small('s0').update('a')
    small('s1').update('a')
    small('s1').attempt()
    small('s1').update()
    small('s2').service.whenReady(() => assert.fail('was told'))

    name('voting')

    assert.deepEqual(forgotten, ['s3'])
  })

  test('give up a waiting call rather than lock out a service, but never an endpoint', () => {
    const { name, small, forgotten, routes } = full()
    const told: boolean[] = []
    for (let i = 0; i < 999; i++) small(`s${i}`).update('a')
    small('s999').service.whenReady((ready) => told.push(ready))

    name('voting')
    small('voting').update('a')

    assert.deepEqual([forgotten, told], [['s999'], [false]])
    assert.deepEqual([name('emoji'), name('s0'), name('mine')], [undefined, 's0', 'mine'])
    assert.equal([...routes.tables].length, 1_001)
  })

  test('stay a thousand when a call that is given up is made again at once', () => {
    const { name, small, forgotten, routes } = full()
    for (let i = 0; i < 1_000; i++) {
      const again = i < 3 ? () => void name(`s${i}`) : () => {}
      small(`s${i}`).service.whenReady(again)
    }

    name('voting')

    assert.deepEqual(forgotten.length > 0 && [...routes.tables].length, 1_001)
    assert.deepEqual([name('voting'), small('voting').service.waiting], ['voting', 0])
  })
})

test('answers every door with the same table', () => {
  const { routes } = namesOf(['voting'], () => true)

  assert.equal(routes.table('voting', false), routes.table('voting:8080', true))
  assert.equal(routes.table('emoji', false), routes.table('emoji', false))
})

test('answers any authority without throwing, and the same again', () => {
  const { routes } = namesOf(['voting', 'a:1'], isServiceName)
  fc.assert(
    fc.property(fc.string(), fc.boolean(), (authority, secure) => {
      assert.equal(routes.table(authority, secure), routes.table(authority, secure))
    }),
  )
})

test('takes names of one label for services, but not localhost, addresses and domains', () => {
  for (const host of ['voting', 'voting-svc', 'voting_2', 'v', 'Voting']) assert.equal(isServiceName(host), true, host)
  for (const host of ['', 'localhost', '10.0.0.7', '[::1]', '::1', 'voting.svc', 'example.com', '2fast', 'a b', 'voting.']) {
    assert.equal(isServiceName(host), false, host)
  }
})
