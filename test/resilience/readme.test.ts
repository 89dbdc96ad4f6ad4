import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { gateConformance } from './gate-conformance.ts'
import { inFlightLimit } from './in-flight-limit.ts'

gateConformance('the gate of the README', inFlightLimit())
gateConformance('the gate of the README with a limit of 1', inFlightLimit({ limit: 1 }))

test('the gate of the README is the one that these tests run', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
  const shown = /```ts\n\/\/ src\/resilience\/in-flight-limit\.ts\n(.*?)```/s.exec(read('../../src/resilience/README.md'))?.[1]

  assert.equal(shown, read('in-flight-limit.ts').replaceAll('../../src/', '../'))
})
