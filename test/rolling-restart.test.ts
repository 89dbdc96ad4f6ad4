import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createMesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { cleanup } from './support/servers.ts'

ownRuntimeDirectory()

test('a rolling restart of every replica under load fails no call, whatever its method', async (t) => {
  const replicas = [await replica(t), await replica(t), await replica(t)]
  const mesh = createMesh({ name: 'web' })
  cleanup(t, () => mesh.close())
  let restarting = true
  let calls = 0
  const failed: string[] = []

  const vote = async () => {
    while (restarting) {
      calls++
      const method = calls % 2 === 0 ? 'POST' : 'GET'
      const answer = await mesh.fetch('http://voting/', { method }).then(
        (response) => response.text(),
        (error) => String(error.cause),
      )
      if (answer !== 'voted') failed.push(`${method}: ${answer}`)
    }
  }
  const load = Promise.all(Array.from({ length: 8 }, vote))
  for (const [i, old] of replicas.entries()) {
    replicas[i] = await replica(t)
    old.kill('SIGTERM')
    const [code] = await once(old, 'exit')
    assert.equal(code, 0, 'nothing was cut off')
  }
  restarting = false
  await load

  assert.deepEqual(failed, [])
  assert.equal(mesh.stats().services[0]?.calls.success, calls)
})

async function replica(t: TestContext): Promise<ChildProcess> {
  const path = fileURLToPath(new URL('./support/draining-replica.ts', import.meta.url))
  const child = fork(path, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  cleanup(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  await once(child, 'message')
  return child
}
