import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleTimeout } from '../../src/transport/idle-timeout.ts'

test('believes two sightings that agree', () => {
  const idle = new IdleTimeout()

  assert.equal(idle.saw(5_000, 10_000), false)
  assert.equal(idle.retireMs, Number.POSITIVE_INFINITY)
  assert.equal(idle.saw(5_100, 20_000), true)
  assert.equal(idle.retireMs, 5_000 * 0.8)
})

test('does not believe sightings that differ', () => {
  const idle = new IdleTimeout()

  for (const [i, ms] of [1_000, 3_000, 500, 9_000].entries()) assert.equal(idle.saw(ms, i * 10_000), false)

  assert.equal(idle.retireMs, Number.POSITIVE_INFINITY)
})

test('takes what is seen at the same time for one event', () => {
  const idle = new IdleTimeout()

  assert.equal(idle.saw(5_000, 10_000), false)
  assert.equal(idle.saw(5_000, 10_010), false)
  assert.equal(idle.saw(5_000, 10_999), false)
})

test('learns nothing from connections that were hardly idle: a server that died', () => {
  const idle = new IdleTimeout()

  for (let i = 0; i < 10; i++) assert.equal(idle.saw(1, i * 10_000), false)

  assert.equal(idle.retireMs, Number.POSITIVE_INFINITY)
})

test('never retires connections before a quarter of a second', () => {
  const idle = new IdleTimeout()

  idle.saw(260, 0)
  idle.saw(260, 10_000)

  assert.equal(idle.retireMs, 250)
})

test('goes down when the server becomes less patient, and stays when the change is small', () => {
  const idle = new IdleTimeout()
  for (let i = 0; i < 2; i++) idle.saw(5_000, i * 10_000)

  for (let i = 2; i < 4; i++) assert.equal(idle.saw(4_900, i * 10_000), false)
  assert.equal(idle.saw(2_000, 50_000), false)
  assert.equal(idle.saw(2_000, 60_000), true)

  assert.equal(idle.retireMs, 1_600)
})
