import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { createMesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { cleanup, serve } from './support/servers.ts'

const directory = ownRuntimeDirectory()
const run = promisify(execFile)
const REGISTER = new URL('../src/register.ts', import.meta.url).href

/** Runs an application that knows nothing of inmesh. */
async function app(code: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const { stdout } = await run(process.execPath, ['--import', REGISTER, '--input-type=module', '-e', code], {
    env: { ...process.env, ...env },
  })
  return stdout.trim()
}

test("meshes Node's own fetch and node:http of an application that knows nothing of it", async (t) => {
  const { server } = await serve(t, (request, response) => response.end(`${request.method} ${request.headers.host}`))
  const mesh = createMesh()
  cleanup(t, () => mesh.close())
  mesh.announce(server, { service: 'voting' })

  const output = await app(`
    import http from 'node:http'
    console.log(await (await fetch('http://voting/a')).text())
    console.log(await (await fetch('http://voting/a', { method: 'POST', body: 'x' })).text())
    http.get('http://voting/b', async (response) => console.log((await response.toArray()).join('')))
  `)

  assert.deepEqual(output.split('\n'), ['GET voting', 'POST voting', 'GET voting'])
})

test('leaves a process that does nothing free to end', async () => {
  assert.equal(await app('console.log("done")'), 'done')
})

test('reads the file that INMESH_CONFIG names', async (t) => {
  const { port } = await serve(t, (_, response) => response.end('configured'))
  const path = join(directory, 'mesh.json')
  const services = { 'voting.example': { discovery: { static: [`127.0.0.1:${port}`] }, balancer: 'round-robin' } }
  writeFileSync(path, JSON.stringify({ services }))

  const output = await app("console.log(await (await fetch('http://voting.example/')).text())", { INMESH_CONFIG: path })

  assert.equal(output, 'configured')
})

test('stops the application at its start when the configuration is bad, and says where', async () => {
  const path = join(directory, 'bad.json')
  writeFileSync(path, JSON.stringify({ services: { voting: { balancer: 'p3c' } } }))

  await assert.rejects(
    app('console.log("never")', { INMESH_CONFIG: path }),
    (error: Error & { stderr: string; stdout: string }) => {
      assert.match(error.stderr, /services\.voting\.balancer: expected one of .*p2c.*, got "p3c"/)
      assert.equal(error.stdout, '')
      return true
    },
  )
})
