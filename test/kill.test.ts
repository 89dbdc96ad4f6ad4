import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createMesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { cleanup } from './support/servers.ts'

ownRuntimeDirectory()

const CALLS = 3_000
const CALLERS = 16

test('kill -9 of a replica under load loses no idempotent call, and its place is found empty', async (t) => {
  const replicas = [await replica(t), await replica(t), await replica(t)]
  const mesh = createMesh()
  cleanup(t, () => mesh.close())
  let begun = 0
  let lost = 0

  const callUntilDone = async () => {
    while (begun < CALLS) {
      begun++
      if (begun === CALLS / 3) replicas[0]?.kill('SIGKILL')
      const response = await mesh.fetch('http://voting/', { method: begun % 2 === 0 ? 'GET' : 'PUT' })
      if (response.status !== 200 || (await response.text()) !== 'voted') lost++
    }
  }
  await Promise.all(Array.from({ length: CALLERS }, callUntilDone))

  assert.equal(lost, 0)
  const { calls, attempts } = mesh.stats().services[0] ?? assert.fail()
  assert.equal(calls.success, CALLS)
  assert.ok(attempts.total > CALLS, 'some attempt met the dead replica')
})

test('a replica that comes back under another port is found', async (t) => {
  const first = await replica(t)
  const mesh = createMesh()
  cleanup(t, () => mesh.close())
  await (await mesh.fetch('http://voting/')).text()

  first.kill('SIGKILL')
  await once(first, 'exit')
  await replica(t)

  assert.equal(await (await mesh.fetch('http://voting/')).text(), 'voted')
})

async function replica(t: Parameters<typeof cleanup>[0]): Promise<ChildProcess> {
  const child = fork(fileURLToPath(new URL('./support/replica.ts', import.meta.url)), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  cleanup(t, async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  })
  await once(child, 'message')
  return child
}
