import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { createMesh, type Mesh } from '../../src/index.ts'
import { ask } from '../server/support/ask.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { type Answer, Trial } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'
import { Application } from './support/application.ts'

const directory = ownRuntimeDirectory()
const ANNOUNCED = { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true' }
const WEB = 'spiffe://inmesh.local/ns/default/sa/web'
const VOTING = 'spiffe://inmesh.local/ns/default/sa/voting'

describe('a server that is announced without a change of its application', () => {
  test('is called by mutual TLS from the mesh, and in plaintext by others on the same port', async (t) => {
    const app = new Application(t, 'who-calls.mjs', ANNOUNCED)
    const port = await app.told<number>()
    const mesh = web(t)

    const meshed = await (await mesh.fetch('http://voting/')).text()
    const plain = await ask(t, `http://127.0.0.1:${port}/`)

    assert.deepEqual([meshed, plain.text], [WEB, 'nobody'])
    assert.deepEqual(edge(mesh), { secured: true, from: WEB, to: [VOTING] })
    assert.deepEqual(await connections(app), { mtls: 1, plaintext: 1 })
    assert.equal(app.said, '')
  })

  for (const kind of ['mjs', 'cjs']) {
    test(`is one of grpc-js, too: ${kind}`, async (t) => {
      const app = new Application(t, `grpc-server.${kind}`, ANNOUNCED)
      const port = await app.told<number>()
      const mesh = web(t)

      const meshed = await asked(t, 'voting:8080', mesh.grpc())
      const plain = await asked(t, `127.0.0.1:${port}`)

      assert.deepEqual([meshed, plain], ['asked', 'asked'])
      assert.deepEqual(edge(mesh), { secured: true, from: WEB, to: [VOTING] })
      assert.deepEqual(await connections(app), { mtls: 1, plaintext: 1 })
      assert.deepEqual(await app.served(2), { 'inmesh.trial.Trial/Ask': 2 })
      assert.equal(app.said, '')
    })
  }

  for (const file of ['who-calls.mjs', 'grpc-server.mjs']) {
    test(`is still drained: ${file}`, async (t) => {
      const app = new Application(t, file, ANNOUNCED)
      const port = await app.told<number>()
      const mesh = web(t)
      if (file.startsWith('grpc')) await asked(t, 'voting:8080', mesh.grpc())
      else await (await mesh.fetch('http://voting/')).text()

      const told = app.told()
      app.process.send('drain')

      assert.deepEqual(await told, { drained: 0 })
      await assert.rejects(ask(t, `http://127.0.0.1:${port}/`), /ECONNREFUSED/)
      assert.equal(app.said, '')
    })
  }

  test('keeps its own certificates where it was made for TLS', async (t) => {
    const app = new Application(t, 'encrypted.mjs', ANNOUNCED)
    const ports = await app.told<{ https: number; h2: number }>()

    assert.equal((await ask(t, `https://127.0.0.1:${ports.https}/`)).text, '1.1 object')
    assert.equal((await ask(t, `https://127.0.0.1:${ports.h2}/`)).text, '2.0 object')
    assert.deepEqual(await connections(app), {})
    assert.equal(app.said, '')
  })

  test('is called in plaintext where the mesh has no identity', async (t) => {
    const config = join(directory, 'off.json')
    writeFileSync(config, JSON.stringify({ identity: 'off' }))
    const app = new Application(t, 'who-calls.mjs', { ...ANNOUNCED, INMESH_CONFIG: config })
    await app.told()
    const mesh = web(t)

    assert.equal(await (await mesh.fetch('http://voting/')).text(), 'nobody')
    assert.deepEqual(edge(mesh), { secured: false, from: null, to: [] })
    assert.deepEqual(await connections(app), {})
  })
})

function web(t: TestContext): Mesh {
  const mesh = createMesh({ name: 'web' })
  cleanup(t, () => mesh.close())
  return mesh
}

/** What the caller knows of both ends. */
function edge(mesh: Mesh): object {
  const { identity, services } = mesh.stats()
  return { secured: services[0]?.secured, from: identity, to: services[0]?.identities }
}

/** How many connections the application has served, by how the callers came. */
async function connections(app: Application): Promise<Record<string, number>> {
  const lines = (await app.prometheus()).matchAll(/^mesh_tls_connections_total\{.*mesh_security="(\w+)".*\} (\d+)$/gm)
  return Object.fromEntries([...lines].map(([, kind, count]) => [kind, Number(count)]))
}

async function asked(t: TestContext, target: string, options?: object): Promise<string> {
  const client = new Trial(target, grpc.credentials.createInsecure(), options)
  cleanup(t, () => client.close())
  const { server } = await new Promise<Answer>((resolve, reject) =>
    client.ask({}, (error, answer) => (error ? reject(error) : resolve(answer as Answer))),
  )
  return server
}
