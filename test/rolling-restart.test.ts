import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import grpc from '@grpc/grpc-js'
import { createMesh, type Mesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { type Answer, Trial } from './support/grpc-trial.ts'
import { cleanup } from './support/servers.ts'

ownRuntimeDirectory()

const ROUNDS = 10
/** Between two calls of each kind: a load that goes on whatever becomes of the calls before. */
const EVERY_MS = 5

test('ten rolling restarts of every replica under load fail no call over HTTP and none over gRPC', {
  timeout: 240_000,
}, async (t) => {
  const replicas = [await replica(t), await replica(t), await replica(t)]
  const mesh = createMesh({ name: 'web' })
  cleanup(t, () => mesh.close())
  const load = startLoad(t, mesh)
  const servers = new Set<number | undefined>()

  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, old] of replicas.entries()) {
      const next = await replica(t)
      replicas[i] = next
      servers.add(next.pid)
      old.kill('SIGTERM')
      const [code] = await once(old, 'exit')
      assert.equal(code, 0, 'nothing was cut off')
    }
  }
  await load.stop()

  assert.equal(servers.size, 3 * ROUNDS)
  assert.deepEqual(load.failed, [])
  for (const service of ['voting', 'tally']) {
    const { calls } = mesh.stats().services.find(({ name }) => name === service) ?? assert.fail(service)
    assert.equal(calls.total, load.begun)
    assert.equal(calls.success, load.begun)
  }
})

/** GET and POST in turn, and a unary call that may not be sent twice. */
function startLoad(t: TestContext, mesh: Mesh) {
  const client = new Trial('tally', grpc.credentials.createInsecure(), mesh.grpc())
  const ask = promisify(client.ask.bind(client) as (question: object, done: (e: Error | null, a?: Answer) => void) => void)
  const load = { begun: 0, failed: [] as string[], stop }
  const underway = new Set<Promise<void>>()
  const timer = setInterval(() => {
    const method = load.begun++ % 2 === 0 ? 'POST' : 'GET'
    begin(vote(mesh, method), method)
    begin(ask({}), 'gRPC')
  }, EVERY_MS)
  cleanup(t, stop)

  function begin(call: Promise<unknown>, kind: string): void {
    const settled = call.then(
      () => void underway.delete(settled),
      (error: Error) => {
        underway.delete(settled)
        load.failed.push(`${kind}: ${error.message} ${error.cause ?? ''}`)
      },
    )
    underway.add(settled)
  }
  async function stop(): Promise<void> {
    clearInterval(timer)
    await Promise.all(underway)
    client.close()
  }
  return load
}

async function vote(mesh: Mesh, method: string): Promise<void> {
  const response = await mesh.fetch('http://voting/', { method })
  assert.equal(await response.text(), 'voted')
}

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
