import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createMesh, type Mesh } from '../src/index.ts'
import { identityOf as proved } from '../src/server/secure-connection.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { until } from './support/engine.ts'
import { identityOf, VOTING, WEB } from './support/meshed.ts'
import { cleanup } from './support/servers.ts'
import { warningsOf } from './support/warnings.ts'
import { TrialSource } from './tls/trial-identities.ts'

const directory = ownRuntimeDirectory()
const OTHER = 'spiffe://cluster.local/ns/emojivoto/sa/voting-2'

test('a server whose identity comes late is called in plaintext until then, and by TLS from then on', async (t) => {
  const source = new TrialSource()
  const { callers } = await announced(t, 'late', source)
  const warned = warningsOf(t, 'INMESH_IDENTITY')
  source.error('the agent is not up yet')
  const warnings = await warned(2)
  const web = meshOf(t, new TrialSource(identityOf(WEB)))
  await ask(web, 'late')

  source.identity(identityOf(VOTING))
  await until(() => identityIn('late') === VOTING)
  while (callers.at(-1) !== WEB) await ask(web, 'late')

  assert.deepEqual(warnings, [
    'no identity: the agent is not up yet',
    'announced without an identity, so callers come in plaintext: the agent is not up yet',
  ])
  assert.equal(callers[0], undefined)
})

test('a server that becomes somebody else is called as that, and no call fails', async (t) => {
  const source = new TrialSource(identityOf(VOTING))
  const { callers } = await announced(t, 'renamed', source)
  await until(() => identityIn('renamed') === VOTING)
  const web = meshOf(t, new TrialSource(identityOf(WEB)))
  await ask(web, 'renamed')

  source.identity(identityOf(OTHER))
  await until(() => identityIn('renamed') === OTHER)
  for (let i = 0; i < 20; i++) await ask(web, 'renamed')

  assert.deepEqual(new Set(callers), new Set([WEB]))
})

test('a server that is announced by a strict mesh and proves nothing is a warning', async (t) => {
  const source = new TrialSource(identityOf(VOTING))
  const mesh = createMesh({ name: 'voting', identity: source.factory, mtls: { mode: 'strict' } })
  cleanup(t, () => mesh.close())
  const warned = once(process, 'warning')

  mesh.announce({ port: 50_051 }).withdraw()

  const [{ message }] = (await warned) as [Error]
  assert.match(message, /^announced and not secured, .* though mtls.mode is strict: have it listen through mesh.listen/)
})

test('an identity that comes after the server was withdrawn is told nobody', async (t) => {
  const source = new TrialSource()
  const { withdraw } = await announced(t, 'gone', source)

  withdraw()
  source.identity(identityOf(VOTING))

  assert.equal(identityIn('gone'), 'not there')
})

function meshOf(t: TestContext, source: TrialSource, name = 'web'): Mesh {
  const mesh = createMesh({ name, identity: source.factory })
  cleanup(t, () => mesh.close())
  return mesh
}

async function announced(t: TestContext, service: string, source: TrialSource) {
  const mesh = meshOf(t, source, service)
  const callers: (string | undefined)[] = []
  const server = http.createServer((request, response) => {
    callers.push(proved(request.socket))
    response.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup(t, () => void server.closeAllConnections())
  cleanup(t, () => void server.close())
  const { withdraw } = mesh.announce(server, { service })
  return { callers, withdraw }
}

async function ask(mesh: Mesh, service: string): Promise<void> {
  const response = await mesh.fetch(`http://${service}/`)
  assert.equal(response.status, 200)
  await response.text()
}

/** Of the one entry of a service. */
function identityIn(service: string): string | undefined {
  try {
    const folder = join(directory, 'services', service)
    const [name] = readdirSync(folder)
    return name === undefined ? 'not there' : JSON.parse(readFileSync(join(folder, name), 'utf8')).identity
  } catch {
    return 'not there'
  }
}
