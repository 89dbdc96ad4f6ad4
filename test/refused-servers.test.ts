import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import type { Identity } from '../src/core/identity.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, type MeshOptions } from '../src/index.ts'
import { readRevocations } from '../src/tls/crl.ts'
import { Revocations } from '../src/tls/revocations.ts'
import { BAD_IDENTITIES } from './support/bad-identities.ts'
import { Trial, trialHandlers } from './support/grpc-trial.ts'
import { identityOf, ROOT, VOTING, WEB } from './support/meshed.ts'
import { overGrpc, overHttp } from './support/refused-calls.ts'
import { cleanup } from './support/servers.ts'
import { time } from './tls/der-writer.ts'
import { HOUR, type Made } from './tls/test-certificates.ts'
import { listPem, makeList } from './tls/test-revocation-list.ts'
import { TrialSource } from './tls/trial-identities.ts'

const WRONG = new RegExp(
  `of ${WEB}: is believed, and ${VOTING} was expected: correct the expected identity, or what the address leads to`,
)

describe('no caller believes a server with a certificate', () => {
  for (const { name, rule, message, make } of BAD_IDENTITIES) {
    test(name, (t) => assertRefused(t, make(VOTING), { rule, message }))
  }

  test('of somebody else', (t) => assertRefused(t, identityOf(WEB), { rule: 'not-allowed', message: WRONG }))

  test("that is on its issuer's list", (t) => {
    const identity = identityOf(VOTING)
    return assertRefused(t, identity, {
      rule: 'revoked',
      message: /leaf certificate \(serial \w+\): is revoked by its issuer's list \(serial \w+\): issue the workload a new one/,
      mtls: { revocations: new Revocations({ lists: readRevocations(listWith(identity), 'crl.der') }) },
    })
  })

  test("that is on its issuer's list in a file", (t) => {
    const identity = identityOf(VOTING)
    const directory = mkdtempSync(join(tmpdir(), 'inmesh-lists-'))
    cleanup(t, () => rmSync(directory, { recursive: true }))
    const path = join(directory, 'crl.pem')
    writeFileSync(path, listPem(listWith(identity)))
    return assertRefused(t, identity, { rule: 'revoked', message: /is revoked by its issuer's list/, mtls: { crlFiles: [path] } })
  })

  test('of an identity that is denied', (t) => {
    const revocations = new Revocations({ ids: [VOTING] })
    return assertRefused(t, identityOf(VOTING), {
      rule: 'revoked',
      message: new RegExp(
        `leaf certificate \\(serial \\w+\\) of ${VOTING}: this identity is on the deny-list: give the workload another one, or take it off the list`,
      ),
      mtls: { revocations },
    })
  })
})

/** As the issuer's list has it, which names the certificate by its serial number. */
function listWith({ certificates }: Identity): Buffer {
  const serial = Buffer.from(new X509Certificate(certificates).serialNumber, 'hex')
  const [thisUpdate, nextUpdate] = [time(Date.now() - HOUR), time(Date.now() + HOUR)]
  return makeList({ issuer: ROOT, revoked: [{ serial } as Made], thisUpdate, nextUpdate })
}

interface Refusal {
  readonly rule: string
  readonly message: RegExp
  readonly mtls?: NonNullable<MeshOptions['mtls']>
}

/** Both sides are meshes; every door says the same, and nothing of the call was sent. */
async function assertRefused(t: TestContext, identity: Identity, { rule, message, mtls = {} }: Refusal): Promise<void> {
  const voting = meshOf(t, { name: 'voting', identity: new TrialSource(identity).factory })
  let served = 0
  const server = http.createServer((_, response) => response.end(String(++served)))
  const port = await voting.listen(server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => void server.close().closeAllConnections())
  const grpcServer = new grpc.Server()
  grpcServer.addService(Trial.service, trialHandlers('a') as never)
  const grpcPort = await voting.listen(grpcServer, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => grpcServer.forceShutdown())
  const at = (port: number) => ({
    discovery: staticEndpoints([{ host: '127.0.0.1', port, identity: VOTING }]),
    retry: 'off' as const,
  })
  const web = meshOf(t, {
    name: 'web',
    identity: new TrialSource(identityOf(WEB)).factory,
    mtls,
    services: { voting: at(port), tally: at(grpcPort) },
  })

  const errors = await Promise.all([
    failure(web.fetch('http://voting/')).then((error) => {
      assert.ok(error instanceof TypeError)
      return error.cause as Error
    }),
    failure(web.request('http://voting/')),
    failure(overHttp(web)),
    failure(overGrpc(t, web)),
  ])

  for (const error of errors) {
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /openssl|PRIVATE KEY/i)
  }
  assert.deepEqual(errors.map((error) => (error as { code?: unknown }).code).slice(0, 3), Array(3).fill('INMESH_ATTEMPTS_FAILED'))
  assert.equal((errors[3] as grpc.ServiceError).code, grpc.status.UNAVAILABLE)
  assert.match(web.prometheus(), new RegExp(`mesh_tls_handshakes_total\\{mesh_tls_side="client",mesh_tls_result="${rule}"\\} 4`))
  assert.equal(served, 0)
}

function meshOf(t: TestContext, options: MeshOptions): Mesh {
  const mesh = createMesh(options)
  cleanup(t, () => mesh.close())
  return mesh
}

async function failure(call: Promise<unknown>): Promise<Error> {
  try {
    await call
  } catch (error) {
    return error as Error
  }
  throw new Error('it was served')
}
