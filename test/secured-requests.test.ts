import assert from 'node:assert/strict'
import http from 'node:http'
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { connect } from 'node:tls'
import grpc from '@grpc/grpc-js'
import { request } from 'undici'
import type { Address } from '../src/core/endpoint.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, type MeshOptions } from '../src/index.ts'
import { inmeshHttp, type ServedListener } from '../src/server/node-http.ts'
import { answer } from './support/grpc-engine.ts'
import { type Answer, Trial, trialHandlers } from './support/grpc-trial.ts'
import { aRoot, identityOf, VOTING, WEB } from './support/meshed.ts'
import { cleanup } from './support/servers.ts'
import { warningsOf } from './support/warnings.ts'
import { TrialSource } from './tls/trial-identities.ts'

/** Of another trust domain, which is believed, too. */
const OTHER = 'spiffe://elsewhere.test/ns/emojivoto/sa/web'

function meshOf(t: TestContext, identity: TrialSource | 'off', options: MeshOptions = {}): Mesh {
  const mesh = createMesh({ identity: identity === 'off' ? identity : identity.factory, implicitServices: false, ...options })
  cleanup(t, () => mesh.close())
  return mesh
}

async function votingServer(t: TestContext, source: TrialSource, options: MeshOptions = {}) {
  const mesh = meshOf(t, source, options)
  const server = http.createServer(inmeshHttp({ mesh }, (_request, response) => response.end('voted')))
  const port = await mesh.listen(server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => void server.close())
  cleanup(t, () => void server.closeAllConnections())
  return { mesh, port, address: { host: '127.0.0.1', port, identity: VOTING } }
}

function caller(t: TestContext, address: Address, identity: TrialSource | 'off' = new TrialSource(identityOf(WEB))): Mesh {
  return meshOf(t, identity, { services: { voting: { discovery: staticEndpoints([address]), retry: 'off' } } })
}

const plain = ({ host, port }: Address): Address => ({ host, port })

/** What was counted of one metric, without its name. */
function counted(mesh: Mesh, name: string): string[] {
  const lines = mesh.prometheus().split('\n')
  return lines.filter((line) => line.startsWith(`${name}{`)).map((line) => line.slice(name.length).replaceAll('mesh_', ''))
}

async function status(mesh: Mesh): Promise<number> {
  const { statusCode, body } = await mesh.request('http://voting/')
  await body.dump()
  return statusCode
}

test('requests are counted by how their callers came, attempts by how they were sent', async (t) => {
  const voting = await votingServer(t, new TrialSource(identityOf(VOTING)))
  const web = caller(t, voting.address)
  const stranger = caller(t, plain(voting.address), 'off')
  await status(web)
  await status(web)
  await status(stranger)
  const socket = connect({ port: voting.port, host: '127.0.0.1', rejectUnauthorized: false })
  socket.end('GET / HTTP/1.1\r\nhost: voting\r\nconnection: close\r\n\r\n').resume()
  await new Promise((resolve) => socket.on('close', resolve))

  assert.deepEqual(counted(voting.mesh, 'mesh_server_security_requests_total'), [
    '{security="mtls",protocol="http"} 2',
    '{security="tls",protocol="http"} 1',
    '{security="plaintext",protocol="http"} 1',
  ])
  assert.deepEqual(counted(web, 'mesh_client_security_attempts_total'), ['{service="voting",security="mtls"} 2'])
  assert.deepEqual(counted(stranger, 'mesh_client_security_attempts_total'), ['{service="voting",security="plaintext"} 1'])
})

test('requests over HTTP/2 and gRPC are counted likewise', async (t) => {
  const mesh = meshOf(t, new TrialSource(identityOf(VOTING)))
  const vote: ServedListener<Http2ServerRequest, Http2ServerResponse> = (_request, response) => void response.end('voted')
  const h2 = http2.createServer(inmeshHttp({ mesh }, vote))
  const port = await mesh.listen(h2, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => void h2.close())
  const server = new grpc.Server({ interceptors: [mesh.grpcServer()] })
  server.addService(Trial.service, trialHandlers('a'))
  const grpcPort = await mesh.listen(server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => server.forceShutdown())
  const at = (p: number) => ({ host: '127.0.0.1', port: p, identity: VOTING })
  const web = meshOf(t, new TrialSource(identityOf(WEB)), {
    services: {
      voting: { discovery: staticEndpoints([at(port)]), protocol: 'h2c' },
      trial: { discovery: staticEndpoints([at(grpcPort)]) },
    },
  })
  const clients = [
    new Trial('trial', grpc.credentials.createInsecure(), web.grpc() as grpc.ClientOptions),
    new Trial(`127.0.0.1:${grpcPort}`, grpc.credentials.createInsecure()),
  ]
  for (const client of clients) cleanup(t, () => client.close())

  await status(web)
  for (const client of clients) await answer<Answer>((done) => client.ask({}, done))
  await new Promise<void>((resolve) => mesh.inbound.whenIdle(resolve))

  assert.deepEqual(counted(mesh, 'mesh_server_security_requests_total'), [
    '{security="mtls",protocol="http"} 1',
    '{security="mtls",protocol="grpc"} 1',
    '{security="plaintext",protocol="grpc"} 1',
  ])
  assert.deepEqual(counted(web, 'mesh_client_security_attempts_total').sort(), [
    '{service="trial",security="mtls"} 1',
    '{service="voting",security="mtls"} 1',
  ])
})

describe('cluster-authenticated without a trust domain', () => {
  const policy: MeshOptions = { inbound: { authorization: { default: 'cluster-authenticated' } } }

  test('means that of this process’s own identity', async (t) => {
    const [own, other] = [identityOf(VOTING), identityOf(OTHER, { root: aRoot() })]
    const trust = { ...own.trust, ...other.trust }
    const voting = await votingServer(t, new TrialSource({ ...own, trust }), policy)

    assert.equal(await status(caller(t, voting.address)), 200)
    assert.equal(await status(caller(t, plain(voting.address), 'off')), 403)
    assert.equal(await status(caller(t, voting.address, new TrialSource({ ...other, trust }))), 403)
  })

  test('means nobody while there is no identity', async (t) => {
    const source = new TrialSource()
    const mesh = meshOf(t, source, policy)
    const server = http.createServer(inmeshHttp({ mesh }, (_request, response) => response.end()))
    server.listen(0, '127.0.0.1')
    await new Promise((resolve) => server.on('listening', resolve))
    cleanup(t, () => void server.close())

    const { statusCode, body } = await request(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { reset: true })
    await body.dump()

    assert.equal(statusCode, 403)
  })

  test('is an error in a process that has no identity', () => {
    assert.throws(() => createMesh({ identity: 'off', ...policy }), { message: /trustDomain: missing/ })
  })
})

test('a mesh tells who its process is, and until when', async (t) => {
  const source = new TrialSource()
  const mesh = meshOf(t, source)
  const identity = identityOf(VOTING)

  assert.equal(mesh.identity, undefined)
  source.identity(identity)
  assert.deepEqual(mesh.identity, { id: VOTING, notAfter: identity.notAfter })
  assert.equal(meshOf(t, 'off').identity, undefined)
})

test('a handshake that was refused is told where the server runs', async (t) => {
  const warnings = warningsOf(t, 'INMESH_HANDSHAKE')
  const voting = await votingServer(t, new TrialSource(identityOf(VOTING)), { mtls: { mode: 'strict' } })

  assert.equal(await status(caller(t, plain(voting.address), 'off')), 400)

  assert.match(
    (await warnings(1))[0] as string,
    /^TLS handshake as server failed \(plaintext_refused\): 127\.0\.0\.1:\d+: the caller/,
  )
})
