import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { conformance } from './conformance.ts'
import { environment } from './environment.ts'

conformance("the README's driver", async (addresses) => {
  const change = (list: readonly string[]) => {
    process.env.VOTING_ADDRESSES = list.join(' ')
  }
  change(addresses)
  return {
    factory: environment(),
    service: 'voting',
    change,
    fail: () => change(['nonsense']),
    close: () => {
      delete process.env.VOTING_ADDRESSES
    },
  }
})

test('the README shows the driver that is tested, to the letter', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')
  const tested = read('environment.ts').replace('../../src/core/discovery.ts', 'inmesh')

  assert.ok(read('../../src/discovery/README.md').includes(`\`\`\`ts\n${tested}\`\`\``))
})

test('the README links every driver', () => {
  const readme = readFileSync(new URL('../../src/discovery/README.md', import.meta.url), 'utf8')

  for (const name of ['static', 'local', 'dns', 'srv', 'file', 'first']) assert.ok(readme.includes(`](${name}.ts)`), name)
})
