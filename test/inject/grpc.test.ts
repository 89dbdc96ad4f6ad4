import assert from 'node:assert/strict'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import { Absent, type Answer, Trial, type TrialClient } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'
import { Application } from './support/application.ts'

const directory = ownRuntimeDirectory()
const MODULES = join(import.meta.dirname, '../../node_modules')

describe('grpc-js in an application that knows nothing of the mesh', () => {
  for (const kind of ['mjs', 'cjs']) {
    test(`has the calls of its server received, those of methods that it lacks, too: ${kind}`, async (t) => {
      const app = new Application(t, `grpc-server.${kind}`)
      const port = await app.told<number>()
      const client = trial(t, port)
      const absent = new Absent(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
      cleanup(t, () => absent.close())

      assert.equal((await answered<Answer>((done) => client.ask({}, done))).server, 'asked')
      await assert.rejects(
        answered((done) => absent.call({}, done)),
        { code: grpc.status.UNIMPLEMENTED },
      )

      assert.deepEqual(await app.served(2), { 'inmesh.trial.Trial/Ask': 1, other: 1 })
      assert.equal(app.said, '')
    })

    test(`has the calls of its client meshed where they go to a service, and let by where they don't: ${kind}`, async (t) => {
      const server = new Application(t, `grpc-server.${kind}`, { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true' })
      const port = await server.told<number>()
      const app = new Application(t, `grpc-client.${kind}`)
      await app.told()

      assert.equal(await said(app, 'voting:8080'), 'asked')
      assert.equal(await said(app, `127.0.0.1:${port}`), 'asked')

      const { services, egress } = await app.stats()
      assert.deepEqual(
        services.map(({ name, attempts }) => [name, attempts.total]),
        [['voting:8080', 1]],
      )
      assert.deepEqual(egress, [{ host: `http://127.0.0.1:${port}`, calls: 1 }])
      assert.equal(app.said, '')
    })
  }

  test('ends by a rejection that its handler does not catch, as without the mesh', async (t) => {
    const app = new Application(t, 'grpc-server.mjs')
    const ended = app.ended()
    const client = trial(t, await app.told<number>())

    await assert.rejects(answered((done) => client.read({}, done)))

    assert.equal(await ended, 1)
    assert.match(app.said, /Error: rejected/)
  })

  test('is meshed by way of nice-grpc as well', async (t) => {
    const app = new Application(t, 'nice-grpc.cjs', { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: '1' })
    await app.told<number>()

    assert.equal(await said(app, 'voting:8080'), 'nice')

    assert.deepEqual(await app.served(1), { 'inmesh.trial.Trial/Ask': 1 })
    assert.equal((await app.stats()).services[0]?.attempts.total, 1)
  })

  test('is meshed once where the application does it by itself, too', async (t) => {
    const app = new Application(t, 'grpc-explicit.mjs')

    assert.equal(await app.told(), 'asked')

    assert.deepEqual(await app.served(1), { 'inmesh.trial.Trial/Ask': 1 })
    assert.equal((await app.stats()).services[0]?.attempts.total, 1)
  })

  test('is left alone, with one warning, where inmesh would get another copy of it', async (t) => {
    const { port } = await serveGrpc(t)
    const app = new Application(t, applicationWithItsOwnCopy())
    await app.told()

    assert.equal(await said(app, `127.0.0.1:${port}`), 'a')

    assert.deepEqual((await app.stats()).egress, [])
    assert.equal(app.said.match(/MeshWarning: grpc-js is not meshed: the application has .*, inmesh gets /g)?.length, 1)
  })

  test('is left alone, with one warning, where it is loaded a second time', async (t) => {
    const { port } = await serveGrpc(t)
    const app = new Application(t, 'grpc-twice.cjs')
    await app.told()

    for (const _ of 'abc') assert.equal(await said(app, `127.0.0.1:${port}`), 'a')

    assert.equal((await app.stats()).egress[0]?.calls, 1)
    assert.equal(app.said.match(/MeshWarning: grpc-js is not meshed: the application has loaded it twice/g)?.length, 1)
  })
})

/** A folder with the application and a grpc-js of its own, as nested installations have it. */
function applicationWithItsOwnCopy(): string {
  const home = join(directory, 'test/inject/apps')
  const modules = join(directory, 'node_modules')
  mkdirSync(join(modules, '@grpc'), { recursive: true })
  cpSync(join(MODULES, '@grpc/grpc-js'), join(modules, '@grpc/grpc-js'), { recursive: true })
  for (const name of ['@js-sdsl', '@grpc/proto-loader']) symlinkSync(join(MODULES, name), join(modules, name), 'junction')
  for (const file of ['inject/apps/grpc-client.mjs', 'support/grpc-trial.proto']) {
    mkdirSync(dirname(join(directory, 'test', file)), { recursive: true })
    cpSync(join(import.meta.dirname, '..', file), join(directory, 'test', file))
  }
  return join(home, 'grpc-client.mjs')
}

function trial(t: Parameters<typeof cleanup>[0], port: number): TrialClient {
  const client = new Trial(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  cleanup(t, () => client.close())
  return client
}

function said(app: Application, target: string): Promise<string> {
  const told = app.told<string>()
  app.process.send(target)
  return told
}

function answered<T>(call: (done: (error: grpc.ServiceError | null, value?: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value as T))))
}
