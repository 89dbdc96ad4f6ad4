import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { type Runtime, systemClock, systemRandom } from '../src/core/clock.ts'
import { announce } from '../src/discovery/local.ts'
import { retryLoop } from '../src/resilience/retry-loop.ts'
import type { Errand, Report } from './support/asking-client.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { serveWiretap } from './support/meshed.ts'
import { cleanup } from './support/servers.ts'

ownRuntimeDirectory()
const WEB = 'spiffe://inmesh.local/ns/default/sa/web'
const VOTING = 'spiffe://inmesh.local/ns/default/sa/voting'
const MARKER = 'the-secret-of-the-doughnut'
const DOORS = ['fetch', 'request', 'global fetch', 'node:http', 'grpc-js']

describe('two processes with nothing configured', () => {
  test('speak by mutual TLS through every door, and know each other', async (t) => {
    const server = await begin(t, 'telling-server.ts')
    const client = await begin(t, 'asking-client.ts')

    const { answers, stats } = await run(client, { http: 'voting', grpc: 'voting-grpc', body: MARKER })

    assert.deepEqual(answers, Object.fromEntries(DOORS.map((door) => [door, `${WEB} ${MARKER}`])))
    assert.equal(stats.identity, WEB)
    assert.deepEqual(
      stats.services.map(({ name, secured, identities, endpoints }) => ({ name, secured, identities, list: ends(endpoints) })),
      ['voting', 'voting-grpc'].map((name) => ({ name, secured: true, identities: [VOTING], list: [[true, VOTING]] })),
    )
    const told = await tell<string>(server.process, 'prometheus')
    assert.match(told, /^mesh_tls_connections_total\{.*mesh_security="mtls".*\} \d+$/m)
    assert.doesNotMatch(told, /mesh_tls_connections_total\{.*mesh_security="plaintext"/)
  })

  test('let nobody read on the wire what they say', async (t) => {
    const { said } = await begin<Ports>(t, 'telling-server.ts')
    const client = await begin(t, 'asking-client.ts')
    const wires = [await tapped(t, 'tapped', said.http, VOTING), await tapped(t, 'tapped-grpc', said.grpc, VOTING)]

    const { answers } = await run(client, { http: 'tapped', grpc: 'tapped-grpc', body: MARKER })

    assert.deepEqual(answers, Object.fromEntries(DOORS.map((door) => [door, `${WEB} ${MARKER}`])))
    for (const wire of wires) {
      const bytes = wire.bytes()
      assert.ok(bytes.length > 2_000, `${bytes.length} bytes`)
      for (const word of [MARKER, 'POST', 'tapped', 'inmesh.trial', WEB]) assert.ok(!bytes.includes(word), word)
    }
  })

  test('are read on the wire where a server has no identity, so the tap would show it', async (t) => {
    const { said } = await begin<Ports>(t, 'telling-server.ts')
    const client = await begin(t, 'asking-client.ts')
    const wires = [await tapped(t, 'plain', said.http), await tapped(t, 'plain-grpc', said.grpc)]

    const { answers, stats } = await run(client, { http: 'plain', grpc: 'plain-grpc', body: MARKER })

    assert.deepEqual(answers, Object.fromEntries(DOORS.map((door) => [door, `nobody ${MARKER}`])))
    for (const wire of wires) assert.ok(wire.bytes().includes(MARKER))
    assert.deepEqual(
      stats.services.map(({ secured, identities }) => [secured, identities]),
      [
        [false, []],
        [false, []],
      ],
    )
  })
})

interface Ports {
  readonly http: number
  readonly grpc: number
}

/** A process of its own, once it has said its first word; killed with the test. */
async function begin<T>(t: TestContext, file: string): Promise<{ process: ChildProcess; said: T }> {
  const child = fork(join(import.meta.dirname, 'support', file), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  cleanup(t, async () => {
    child.kill('SIGKILL')
    await ended
  })
  const [said] = await once(child, 'message')
  return { process: child, said: said as T }
}

function run({ process }: { process: ChildProcess }, errand: Errand): Promise<Report> {
  return tell(process, errand)
}

async function tell<T>(process: ChildProcess, message: string | object): Promise<T> {
  const ended = once(process, 'exit').then(() => Promise.reject(new Error('the process has ended')))
  const answer = Promise.race([once(process, 'message'), ended])
  process.send(message)
  const [said] = await answer
  return said as T
}

/** A service that is another one's port behind a tap. */
async function tapped(t: TestContext, service: string, port: number, identity?: string) {
  const wire = await serveWiretap(t, port)
  const { withdraw } = announce(RUNTIME, {
    service,
    host: '127.0.0.1',
    port: wire.port,
    ...(identity === undefined ? {} : { identity }),
  })
  cleanup(t, withdraw)
  return wire
}

const RUNTIME: Runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }

function ends({ list }: Report['stats']['services'][number]['endpoints']): unknown[] {
  return list.map(({ secured, identity }) => [secured, identity])
}
