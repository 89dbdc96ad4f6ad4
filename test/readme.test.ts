import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createMesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { cleanup, serve } from './support/servers.ts'

ownRuntimeDirectory()
const run = promisify(execFile)
const ROOT = join(import.meta.dirname, '..')
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const [oneImport, onYourTerms] = [...README.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code as string)

/** Runs code as the user of the built package would. */
async function example(code: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: ROOT })
  return stdout.trim()
}

test('the one import of the README reaches a service of this machine', async (t) => {
  const { server } = await serve(t, (request, response) => response.end(request.url))
  const mesh = createMesh()
  cleanup(t, () => mesh.close())
  mesh.announce(server, { service: 'voting' })

  assert.equal(await example(`${oneImport}\nconsole.log(await response.text())`), '/api/vote')
})

test('the explicit mesh of the README calls through three doors and closes', async (t) => {
  const urls: string[] = []
  const { port } = await serve(t, (request, response) => {
    urls.push(request.url ?? '')
    response.end('ok')
  })
  const code = (onYourTerms ?? '').replace(/\['10\.0\.0\.7:8080', '10\.0\.0\.8:8080'\]/, `['127.0.0.1:${port}']`)
  assert.ok(code.includes(`127.0.0.1:${port}`))

  await example(code)

  assert.deepEqual(urls.sort(), ['/', '/api/vote', '/api/vote'])
})

test('every file that the README and the docs link to is there', () => {
  for (const page of ['README.md', 'docs/architecture.md']) {
    const text = readFileSync(join(ROOT, page), 'utf8')
    for (const [, link] of text.matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      assert.ok(existsSync(join(ROOT, page, '..', link as string)), `${page}: ${link}`)
    }
  }
})
