import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RareWarnings } from '../../src/core/rare-warnings.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { warningsOf } from '../support/warnings.ts'

test('warns of each kind once a minute, with how many there were meanwhile', async (t) => {
  const warnings = warningsOf(t, 'INMESH_TRIAL')
  const clock = new VirtualClock()
  const rare = new RareWarnings<string>(clock, 'INMESH_TRIAL')

  for (let i = 0; i < 3; i++) rare.warn('a', () => `a${i}`)
  rare.warn('b', () => 'b0')
  clock.advance(59_999)
  rare.warn('a', () => assert.fail('nobody is warned'))
  clock.advance(1)
  rare.warn('a', () => 'a4')
  rare.warn('b', () => 'b1')

  assert.deepEqual(await warnings(4), ['a0', 'b0', 'a4, and 3 more since the last warning', 'b1'])
})
