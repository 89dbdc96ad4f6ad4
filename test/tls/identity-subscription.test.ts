import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity, IdentityUpdate } from '../../src/core/identity.ts'
import { IdentitySubscription } from '../../src/tls/identity-subscription.ts'

const ONE: Identity = { id: 'spiffe://a/b', certificates: 'one', key: 'key', trust: { a: ['root'] }, notBefore: 0, notAfter: 1 }
const TWO: Identity = { ...ONE, trust: { a: ['root'], b: ['other'] } }

function setUp() {
  const told: IdentityUpdate[] = []
  return { told, subscription: new IdentitySubscription((update) => told.push(update)) }
}

const shown = (told: readonly IdentityUpdate[]) =>
  told.map((update) => ('error' in update ? update.error.message : update.identity))

test('tells nothing at once, and everything in its order', async () => {
  const { told, subscription } = setUp()

  subscription.identity(ONE)
  subscription.error(new Error('gone'))
  const atOnce = told.length
  await null

  assert.equal(atOnce, 0)
  assert.deepEqual(shown(told), [ONE, 'gone'])
})

test('leaves out what changes nothing', async () => {
  const { told, subscription } = setUp()

  subscription.identity(ONE)
  subscription.identity({ ...ONE, trust: { ...ONE.trust } })
  subscription.identity(TWO)
  subscription.identity({ ...TWO, trust: { b: ['other'], a: ['root'] } })
  subscription.error(new Error('gone'))
  subscription.error(new Error('gone'))
  subscription.error(new Error('still gone'))
  await null

  assert.deepEqual(shown(told), [ONE, TWO, 'gone', 'still gone'])
  assert.equal(subscription.last, TWO)
})

test('tells the same identity again after an error, and the same error after an identity', async () => {
  const { told, subscription } = setUp()

  subscription.identity(ONE)
  subscription.error(new Error('gone'))
  subscription.identity(ONE)
  subscription.error(new Error('gone'))
  await null

  assert.deepEqual(shown(told), [ONE, 'gone', ONE, 'gone'])
})

test('tells nothing that was on its way when it is stopped', async () => {
  const { told, subscription } = setUp()

  subscription.identity(ONE)
  subscription.stop()
  subscription.error(new Error('gone'))
  await null

  assert.deepEqual(told, [])
})
