import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createMesh } from '../../src/index.ts'
import { readEnvironment } from '../../src/inject/environment.ts'
import { ask } from '../server/support/ask.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { cleanup } from '../support/servers.ts'
import { Application } from './support/application.ts'

const directory = ownRuntimeDirectory()

describe('INMESH_ANNOUNCE', () => {
  test('announces all servers, those of some ports, or none', () => {
    const announced = (said?: string) => [80, 8080].filter(readEnvironment({ INMESH_ANNOUNCE: said }, 'voting').announces)

    assert.deepEqual(['true', '1'].map(announced), [
      [80, 8080],
      [80, 8080],
    ])
    assert.deepEqual(['8080', '81, 8080'].map(announced), [[8080], [8080]])
    assert.deepEqual([undefined, '', 'false', '0'].map(announced), [[], [], [], []])
  })

  test('is an error at the start when it is wrong, or when there is no name to announce by', () => {
    for (const said of ['yes', '8080,', '70000', '80 81', '-1'])
      assert.throws(() => readEnvironment({ INMESH_ANNOUNCE: said }, 'voting'), {
        code: 'INMESH_CONFIG',
        message: `INMESH_ANNOUNCE: expected true, false or ports such as 8080,8443, got "${said}"`,
      })
    for (const name of ['', 'localhost', '10.0.0.7', 'voting:80', 'two words'])
      assert.throws(
        () => readEnvironment({ INMESH_ANNOUNCE: 'true' }, name),
        /^MeshError: INMESH_ANNOUNCE: expected a name .* in INMESH_SERVICE/,
      )
  })

  test('enters a server when it listens, where others find it, and withdraws it when it closes', async (t) => {
    const app = new Application(t, 'restarting.mjs', { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true' })
    await app.told()
    const ports: string[] = []
    for (const _ of 'ab') {
      const mesh = createMesh()
      cleanup(t, () => mesh.close())
      ports.push(await (await mesh.fetch('http://voting/')).text())
      const restarted = app.told()
      app.process.send('restart')
      await restarted
    }

    assert.notEqual(ports[0], ports[1])
  })

  test('lets a server serve that cannot be entered, with a warning', async (t) => {
    const file = join(directory, 'a-file')
    writeFileSync(file, '')
    const env = { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true', INMESH_RUNTIME_DIR: join(file, 'below') }
    const app = new Application(t, 'http.cjs', env)

    assert.equal((await ask(t, `http://127.0.0.1:${await app.told<number>()}`)).text, 'object')
    assert.deepEqual(await app.served(1), { '': 1 })
    assert.match(app.said, /MeshWarning: servers are not announced or drained: /)
  })

  test('leaves servers alone that do not listen on TCP', async (t) => {
    const app = new Application(t, 'unix.mjs', { INMESH_SERVICE: 'voting', INMESH_ANNOUNCE: 'true' })

    assert.equal(await app.told(), 'listening')
    assert.equal(app.said, '')
  })
})

describe('INMESH_DRAIN', () => {
  test('is signals that can be caught, or none', () => {
    assert.deepEqual(readEnvironment({ INMESH_DRAIN: 'SIGTERM, SIGINT' }, '').drainOn, ['SIGTERM', 'SIGINT'])
    assert.deepEqual(readEnvironment({}, '').drainOn, [])
    for (const said of ['true', 'SIGKILL', 'SIGTERM,', 'sigterm'])
      assert.throws(() => readEnvironment({ INMESH_DRAIN: said }, ''), {
        code: 'INMESH_CONFIG',
        message: `INMESH_DRAIN: expected signals such as SIGTERM,SIGINT, got "${said}"`,
      })
  })

  test('has the process take its leave on a signal: what is under way is answered, then the signal does what it does', async (t) => {
    const app = new Application(t, 'slow.mjs', { INMESH_DRAIN: 'SIGTERM' })
    const ended = app.ended()
    const port = await app.told<number>()
    const begun = once(app.process, 'message')
    const slow = ask(t, `http://127.0.0.1:${port}/slow`)
    await begun

    app.process.kill('SIGTERM')
    let during = await ask(t, `http://127.0.0.1:${port}/`)
    while (during.headers['x-envoy-immediate-health-check-fail'] === undefined) during = await ask(t, `http://127.0.0.1:${port}/`)
    app.process.send('answer')

    assert.equal((await slow).text, 'slow')
    assert.equal(await ended, 'SIGTERM')
  })

  test('stops the application at its start when a variable is wrong, and says which', async (t) => {
    const app = new Application(t, 'slow.mjs', { INMESH_DRAIN: 'term', INMESH_ANNOUNCE: 'yes' })

    assert.equal(await app.ended(), 1)
    assert.match(app.said, /INMESH_ANNOUNCE: expected .*\nINMESH_DRAIN: expected signals .*, got "term"/)
  })
})

test('drains every server of the process, announced or not', async (t) => {
  const app = new Application(t, 'encrypted.mjs')
  const { h2c } = await app.told<{ h2c: number }>()
  const told = app.told()

  app.process.send('drain')

  assert.deepEqual(await told, { drained: 0 })
  await assert.rejects(ask(t, `http://127.0.0.1:${h2c}/`), /ECONNREFUSED/)
})
