import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const SRC = join(import.meta.dirname, '../../src')

test('nothing of the TLS folder loads node-forge before a certificate is issued', () => {
  const files = globSync('tls/**/*.ts', { cwd: SRC }).map((file) => join(SRC, file))

  assert.ok(files.length > 20)
  assert.equal(loadedForge(files, ''), 'false')
})

test('issuing a certificate loads it', () => {
  const issue = join(SRC, 'tls/issue.ts')
  const use = `const { issueRoot, makeKey } = await import(${JSON.stringify(issue)})
    await issueRoot(makeKey(), { name: 'root', trustDomain: 'mesh.test', now: 0, lifeMs: 1000 })`

  assert.equal(loadedForge([issue], use), 'true')
})

/** Whether a process that has imported these files and run this code has loaded node-forge. */
function loadedForge(files: readonly string[], code: string): string {
  const script = `
    for (const file of ${JSON.stringify(files)}) await import(file)
    ${code}
    const { createRequire } = await import('node:module')
    const loaded = Object.keys(createRequire(${JSON.stringify(join(SRC, 'index.ts'))}).cache)
    console.log(loaded.some((file) => file.includes('node-forge')))`
  return execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).trim()
}
