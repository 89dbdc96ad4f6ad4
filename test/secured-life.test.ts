import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import grpc from '@grpc/grpc-js'
import { createMesh } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { until } from './support/engine.ts'
import { Trial, trialHandlers } from './support/grpc-trial.ts'
import { cleanup } from './support/servers.ts'

ownRuntimeDirectory()

test('an idle process with secured connections and an identity ends by itself', async (t) => {
  await serveServices(t)

  const { handshakes } = await run('idle')

  assert.ok(handshakes >= 3, `${handshakes} handshakes`)
})

test('a mesh that is closed leaves nothing behind: no socket, no timer, no watch', async (t) => {
  await serveServices(t)

  const { left } = await run('close')

  assert.deepEqual(left, [])
})

test('nothing that a mesh shows of itself has a key or a certificate in it', async (t) => {
  await serveServices(t)

  const { showsKey } = await run('close')

  assert.equal(showsKey, false)
})

/** `voting` by HTTP and `tally` by gRPC, both secured by the machine's own CA. */
async function serveServices(t: TestContext): Promise<void> {
  const mesh = createMesh({ name: 'voting' })
  cleanup(t, () => mesh.close())
  const server = http.createServer((_, response) => response.end('voted')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup(t, () => void server.close().closeAllConnections())
  const grpcServer = new grpc.Server()
  grpcServer.addService(Trial.service, trialHandlers('a') as never)
  const port = await mesh.listen(grpcServer, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => grpcServer.forceShutdown())
  mesh.announce(server)
  mesh.announce({ port }, { service: 'tally' })
  const probe = createMesh()
  cleanup(t, () => probe.close())
  await (await probe.fetch('http://voting/')).text()
  await until(() => probe.prometheus().includes('mesh_tls_side="client",mesh_tls_result="ok"'))
}

async function run(what: string): Promise<{ handshakes: number; left: string[]; showsKey: boolean }> {
  const path = fileURLToPath(new URL('./support/secured-life.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [path, what], { timeout: 20_000 })
  return JSON.parse(stdout)
}
