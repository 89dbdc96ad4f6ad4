import assert from 'node:assert/strict'
import http from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { systemClock } from '../src/core/clock.ts'
import type { Identity } from '../src/core/identity.ts'
import { noTlsObserver } from '../src/core/tls-observer.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, type MeshOptions } from '../src/index.ts'
import { Security, type TlsMode } from '../src/server/secure-listener.ts'
import { secureServer } from '../src/server/secure-server.ts'
import { Keyring } from '../src/tls/keyring.ts'
import { Revocations } from '../src/tls/revocations.ts'
import { BAD_IDENTITIES, type BadIdentity } from './support/bad-identities.ts'
import { Trial, trialHandlers } from './support/grpc-trial.ts'
import { identityOf, listening, meshed, ROOT, VOTING, WEB } from './support/meshed.ts'
import { overGrpc, overHttp } from './support/refused-calls.ts'
import { cleanup } from './support/servers.ts'
import { TrialSource } from './tls/trial-identities.ts'

const TRUSTING = { trust: { 'cluster.local': [ROOT.pem] } }

for (const mode of ['permissive', 'strict'] as const) {
  describe(`a ${mode} server serves no caller with a certificate`, () => {
    for (const bad of BAD_IDENTITIES) test(bad.name, (t) => assertRefused(t, mode, bad, {}))

    test('of an identity that is denied', (t) => {
      const bad = { rule: 'revoked', make: identityOf }
      return assertRefused(t, mode, bad, { revocations: new Revocations({ ids: [WEB] }) })
    })
  })
}

describe('the log of a server says of a caller with a certificate which rule it breaks and what to do:', () => {
  for (const { name, rule, message, make } of BAD_IDENTITIES) {
    test(name, async (t) => {
      const seen: string[] = []
      const source = new TrialSource()
      const runtime = meshed(t).runtime
      const observer = { ...noTlsObserver, handshakeEnded: (_side: string, ...told: string[]) => void seen.push(told.join(' ')) }
      const keyring = new Keyring({ runtime, source: source.factory, observer })
      void keyring.identity
      source.identity(identityOf(VOTING))
      const security = new Security({ keyring, clock: systemClock })
      cleanup(t, () => security.close())
      cleanup(t, () => keyring.close())
      const { port } = await listening(t, secureServer(security, http.createServer()))

      await assert.rejects(callerOf(t, make(WEB), port).request('http://voting/'))
      while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve))

      assert.match(seen[0] ?? '', new RegExp(`^${rule} 127\\.0\\.0\\.1:\\d+: `))
      assert.match(seen[0] ?? '', message)
    })
  }
})

/** Both sides are meshes; whatever the caller is told, nothing of its call was served, and others are served. */
async function assertRefused(
  t: TestContext,
  mode: TlsMode,
  { rule, make }: Pick<BadIdentity, 'rule' | 'make'>,
  mtls: NonNullable<MeshOptions['mtls']>,
): Promise<void> {
  const voting = meshOf(t, { name: 'voting', identity: new TrialSource(identityOf(VOTING)).factory, mtls: { ...mtls, mode } })
  let served = 0
  const server = http.createServer((_, response) => response.end(String(++served)))
  const port = await voting.listen(server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => void server.close().closeAllConnections())
  const grpcServer = new grpc.Server()
  grpcServer.addService(Trial.service, trialHandlers('a') as never)
  const grpcPort = await voting.listen(grpcServer, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => grpcServer.forceShutdown())
  const web = callerOf(t, make(WEB), port, grpcPort)

  await assert.rejects(web.fetch('http://voting/'), TypeError)
  await assert.rejects(web.request('http://voting/', { method: 'POST', body: 'x' }), { code: 'INMESH_ATTEMPTS_FAILED' })
  await assert.rejects(overHttp(web))
  await assert.rejects(overGrpc(t, web), { code: grpc.status.UNAVAILABLE })

  assert.equal(served, 0)
  const counted = new RegExp(`mesh_tls_handshakes_total\\{mesh_tls_side="server",mesh_tls_result="${rule}"\\} (\\d+)`)
  assert.ok(Number(counted.exec(voting.prometheus())?.[1]) >= 3, voting.prometheus())
  const emoji = callerOf(t, identityOf('spiffe://cluster.local/ns/emojivoto/sa/emoji'), port)
  assert.equal((await emoji.fetch('http://voting/')).status, 200)
}

/** It believes the server, whatever it shows itself. */
function callerOf(t: TestContext, identity: Identity, port: number, grpcPort = port): Mesh {
  const at = (port: number) => ({
    discovery: staticEndpoints([{ host: '127.0.0.1', port, identity: VOTING }]),
    retry: 'off' as const,
  })
  const source = new TrialSource({ ...identity, ...TRUSTING })
  return meshOf(t, { name: 'web', identity: source.factory, services: { voting: at(port), tally: at(grpcPort) } })
}

function meshOf(t: TestContext, options: MeshOptions): Mesh {
  const mesh = createMesh(options)
  cleanup(t, () => mesh.close())
  return mesh
}
