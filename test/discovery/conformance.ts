import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiscoveryFactory } from '../../src/core/discovery.ts'
import { addressName } from '../../src/core/endpoint.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { turns, Updates } from './updates.ts'

/** A driver with a source of its own. */
export interface FixedSubject {
  readonly factory: DiscoveryFactory
  readonly service: string
  close(): void | Promise<void>
}

/** One whose source the suite can change. */
export interface Subject extends FixedSubject {
  /** Makes the source hold these addresses. */
  change(addresses: readonly string[]): void | Promise<void>
  /** Makes the source unreadable until the next change. */
  fail(): void | Promise<void>
}

const A = '10.0.0.1:8080'
const B = '10.0.0.2:8080'
const C = '10.0.0.3:8080'

/** What holds for every driver, whatever its source. */
export function conformance(name: string, make: (addresses: readonly string[]) => Promise<Subject>): void {
  conformanceOfFixed(name, make)
  conformanceOfChanging(name, make)
}

/** The part that holds for a source that never changes nor fails. */
export function conformanceOfFixed(name: string, make: (addresses: readonly string[]) => Promise<FixedSubject>): void {
  const run = runner(name, make)

  run('reports the whole set', async (subject) => {
    const updates = watch(subject)

    const set = await updates.set()
    updates.stop()

    assert.deepEqual(set, [A, B])
  })

  run('never calls back before watch has returned', async (subject) => {
    const runtime = virtualRuntime()
    let returned = false
    let early = false

    const stop = subject.factory(runtime).watch(subject.service, () => {
      early ||= !returned
    })
    returned = true
    await turns(20)
    stop()

    assert.equal(early, false)
  })

  run('reports nothing when it is stopped at once', async (subject) => {
    const updates = watch(subject)

    updates.stop()
    await updates.pass(2_000)

    assert.deepEqual(updates.all, [])
    assert.equal(updates.clock.pending, 0)
  })

  run('leaves no timer when it is stopped, twice', async (subject) => {
    const updates = watch(subject)
    await updates.set()

    updates.stop()
    assert.equal(updates.clock.pending, 0)
    updates.stop()
    await turns(20)

    assert.equal(updates.clock.pending, 0)
  })

  run('holds the process by nothing', async (subject) => {
    // What the test before has closed is gone only after some turns.
    await turns(20)
    const before = process.getActiveResourcesInfo().sort()
    const updates = watch(subject)
    await updates.set()
    await turns(20)

    const during = process.getActiveResourcesInfo().sort()
    updates.stop()

    assert.deepEqual(during, before)
  })

  run('tells watchers independently of each other', async (subject) => {
    const runtime = virtualRuntime()
    const discovery = subject.factory(runtime)
    const one = new Updates(runtime.clock, discovery, subject.service)
    const two = new Updates(runtime.clock, discovery, subject.service)
    const first = await one.set()
    one.stop()

    const second = await two.set()
    await two.pass(2_000)
    two.stop()

    assert.equal(one.all.length, 1)
    assert.deepEqual(first, [A, B])
    assert.deepEqual(second, [A, B])
    assert.equal(runtime.clock.pending, 0)
  })

  run('reports addresses that can be used, each once', async (subject) => {
    const updates = watch(subject)
    const update = await updates.next()
    updates.stop()

    assert.ok('addresses' in update)
    assert.equal(new Set(update.addresses.map(addressName)).size, update.addresses.length)
    for (const { host, port } of update.addresses) assert.ok(host !== '' && Number.isInteger(port))
  })
}

function conformanceOfChanging(name: string, make: (addresses: readonly string[]) => Promise<Subject>): void {
  const run = runner(name, make)

  run('reports a change as a whole set again', async (subject) => {
    const updates = watch(subject)
    await updates.set()

    await subject.change([B, C])
    await updates.until(B, C)
    await subject.change([A, B, C])
    await updates.until(A, B, C)

    updates.stop()
    assert.equal(updates.clock.pending, 0)
  })

  run('reports nothing after it was stopped, whatever the source does', async (subject) => {
    const updates = watch(subject)
    await updates.set()
    updates.stop()
    const told = updates.all.length

    await subject.change([C])
    await updates.pass(2_000)
    await subject.fail()
    await updates.pass(2_000)

    assert.equal(updates.all.length, told)
  })

  run('reports an error without a set, and goes on trying', async (subject) => {
    const updates = watch(subject)
    await updates.set()

    await subject.fail()
    const error = await updates.error()
    await subject.change([A, B])
    const recovered = await updates.set()
    updates.stop()

    assert.ok(error instanceof Error)
    assert.notEqual(error.message, '')
    assert.deepEqual(recovered, [A, B])
  })

  run('leaves no timer when it is stopped while the source fails', async (subject) => {
    await subject.fail()
    const updates = watch(subject)
    await updates.error()

    updates.stop()
    await turns(20)

    assert.equal(updates.clock.pending, 0)
  })
}

function runner<T extends FixedSubject>(name: string, make: (addresses: readonly string[]) => Promise<T>) {
  return (behaviour: string, body: (subject: T) => Promise<void>) =>
    test(`${name} ${behaviour}`, { timeout: 20_000 }, async (t) => {
      const subject = await make([A, B])
      t.after(() => subject.close())
      await body(subject)
    })
}

function watch(subject: FixedSubject) {
  const runtime = virtualRuntime()
  const updates = new Updates(runtime.clock, subject.factory(runtime), subject.service)
  return Object.assign(updates, { clock: runtime.clock })
}
