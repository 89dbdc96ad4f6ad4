import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { balancerConformance } from './conformance.ts'
import { primary } from './primary.ts'

const README = join(import.meta.dirname, '../../src/balancer/README.md')

balancerConformance("the README's example", primary(), { usesAll: false })

test('the example in the README is the one that is compiled and run here', () => {
  const [, example] = readFileSync(README, 'utf8').match(/```ts\n\/\/ src\/balancer\/primary\.ts\n(.*?)```/s) ?? []

  assert.equal(example?.replaceAll('../core/', '../../src/core/'), readFileSync(join(import.meta.dirname, 'primary.ts'), 'utf8'))
})
