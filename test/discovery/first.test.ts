import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/core/address.ts'
import type { DiscoveryFactory, Update } from '../../src/core/discovery.ts'
import type { Address } from '../../src/core/endpoint.ts'
import { MeshError } from '../../src/core/errors.ts'
import { first } from '../../src/discovery/first.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'
import { conformance } from './conformance.ts'
import { names, Updates } from './updates.ts'

/** A source that says what a test tells it to say. */
class Told {
  #listeners = new Set<(update: Update) => void>()
  #last: Update | undefined
  watched = 0

  constructor(last?: Update) {
    this.#last = last
  }

  readonly factory: DiscoveryFactory = () => ({
    watch: (_service, onUpdate) => {
      const listener = (update: Update) => onUpdate(update)
      this.#listeners.add(listener)
      this.watched++
      const last = this.#last
      if (last !== undefined) queueMicrotask(() => this.#listeners.has(listener) && listener(last))
      return () => void this.#listeners.delete(listener)
    },
  })

  get watchers(): number {
    return this.#listeners.size
  }

  say(update: Update): void {
    this.#last = update
    for (const listener of this.#listeners) listener(update)
  }
}

const set = (...list: string[]): Update => ({ addresses: list.map((text) => parseAddress(text) as Address) })
const failure = (message: string): Update => ({ error: new MeshError('INMESH_DISCOVERY', message) })

conformance('first', async (addresses) => {
  const before = new Told(set())
  const source = new Told(set(...addresses))
  return {
    factory: first([before.factory, source.factory]),
    service: 'voting',
    change: (list) => source.say(set(...list)),
    fail: () => {
      source.say(set())
      source.say(failure('broken'))
    },
    close() {},
  }
})

function setUp(...sources: Told[]) {
  const runtime = virtualRuntime()
  return new Updates(runtime.clock, first(sources.map(({ factory }) => factory))(runtime), 'voting')
}

test('takes the first source that has addresses and leaves the rest alone', async () => {
  const [a, b] = [new Told(set('10.0.0.1:80')), new Told(set('10.0.0.2:80'))]
  const updates = setUp(a, b)

  assert.deepEqual(await updates.set(), ['10.0.0.1:80'])
  assert.equal(b.watched, 0)
  updates.stop()
  assert.equal(a.watchers, 0)
})

test('falls back while the first is empty, and returns when it is not', async () => {
  const [a, b] = [new Told(set()), new Told(set('10.0.0.2:80'))]
  const updates = setUp(a, b)
  const fallback = await updates.set()

  a.say(set('10.0.0.1:80'))
  const returned = await updates.set()
  await settle()
  const watchers = b.watchers
  a.say(set())
  const again = await updates.set()

  assert.deepEqual([fallback, returned, again], [['10.0.0.2:80'], ['10.0.0.1:80'], ['10.0.0.2:80']])
  assert.equal(watchers, 0)
  updates.stop()
  assert.deepEqual([a.watchers, b.watchers], [0, 0])
})

test('keeps the last set until the next source has spoken', async () => {
  const [a, b] = [new Told(set('10.0.0.1:80')), new Told()]
  const updates = setUp(a, b)
  await updates.set()

  a.say(set())
  await settle()
  const silent = updates.all.length
  b.say(failure('dns down'))

  assert.equal(silent, 1)
  assert.deepEqual(names(await updates.next()), [])
  assert.equal((await updates.error()).message, 'dns down')
})

test('keeps errors to itself while another source has addresses', async () => {
  const [a, b] = [new Told(failure('a broken')), new Told(set('10.0.0.2:80'))]
  const updates = setUp(a, b)
  await updates.set()

  b.say(failure('b broken'))
  a.say(failure('a still broken'))
  await settle()

  assert.equal(updates.all.length, 1)
})

test('tells an empty set before the error of the only source that failed', async () => {
  const updates = setUp(new Told(set()), new Told(failure('no address')))

  assert.deepEqual(names(await updates.next()), [])
  assert.equal((await updates.error()).message, 'no address')
})

test('tells all errors in one when every source failed', async () => {
  const updates = setUp(new Told(failure('a broken')), new Told(failure('b broken')))

  const error = await updates.error()

  assert.ok(error instanceof MeshError)
  assert.equal(error.message, 'voting: no source can be read: a broken; b broken')
  assert.equal((error.cause as Error).message, 'a broken')
  assert.equal(updates.all.length, 1)
})

test('says that all is well again when the errors are gone, even if nothing was found', async () => {
  const [a, b] = [new Told(set()), new Told(failure('no address'))]
  const updates = setUp(a, b)
  await updates.error()

  b.say(set())

  assert.deepEqual(names(await updates.next()), [])
})

test('reports an empty set when no source has an address', async () => {
  assert.deepEqual(names(await setUp(new Told(set()), new Told(set())).next()), [])
})

test('refuses what is no list of sources', () => {
  assert.throws(() => first([]), {
    code: 'INMESH_CONFIG',
    message: 'first: expected an array of at least one source, got an array',
  })
  assert.throws(() => first([() => ({ watch: () => () => {} }), 'dns' as never]), {
    code: 'INMESH_CONFIG',
    message: 'first[1]: expected a source, got "dns"',
  })
})
