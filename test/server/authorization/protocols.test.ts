import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import http from 'node:http'
import http2, { type Http2ServerRequest, type Http2ServerResponse } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { Client } from 'undici'
import { inmeshHttp, type ServedListener } from '../../../src/server/node-http.ts'
import { answer } from '../../support/grpc-engine.ts'
import { cleanup, serve, serveH2, testCertificate } from '../../support/servers.ts'
import { failure, serveGrpc } from '../support/grpc-serving.ts'
import { matching } from '../support/matching.ts'
import { serving } from '../support/serving.ts'

const ADMIN = 'spiffe://td/ns/prod/sa/admin'

test('over HTTP/2, a method in lower case is refused as well', async (t) => {
  t.mock.method(process, 'emitWarning', () => {})
  const rules = [{ name: 'r', matches: [{ method: 'GET' }], allow: [] }]
  const { mesh } = serving({ authorization: { rules } }, { matching })
  const listener: ServedListener<Http2ServerRequest, Http2ServerResponse> = (_request, response) => response.end('-')
  const { origin } = await serveH2(t, inmeshHttp({ mesh }, listener))
  const session = http2.connect(origin, { ca: testCertificate.cert })
  cleanup(t, () => session.destroy())

  const statuses: unknown[] = []
  for (const method of ['GET', 'get', 'HEAD', 'POST']) {
    const stream = session.request({ ':method': method, ':path': '/' }, { endStream: true })
    statuses.push(await new Promise((resolve) => stream.once('response', (headers) => resolve(headers[':status']))))
    stream.close()
  }

  assert.deepEqual(statuses, [403, 403, 403, 200])
})

test('the port and the network are those of the connection, over HTTP/2 and through proxies that are trusted, too', async (t) => {
  t.mock.method(process, 'emitWarning', () => {})
  const { mesh } = serving({ trustedProxies: ['127.0.0.1'] }, { matching })
  const second: ServedListener<Http2ServerRequest, Http2ServerResponse> = (_request, response) => response.end('-')
  const servers = [
    await serve(
      t,
      inmeshHttp({ mesh }, (_request, response) => response.end('-')),
    ),
    await serveH2(t, inmeshHttp({ mesh }, second)),
  ]
  const allow = [{ networks: [{ cidr: '127.0.0.0/8' }] }]

  for (const { origin, port } of servers) {
    mesh.inbound.authorize({ default: 'deny', rules: [{ name: 'local', ports: [port], allow }] })
    const client = new Client(origin, { allowH2: true, connect: { rejectUnauthorized: false } })
    cleanup(t, () => client.destroy())
    const asked = () => client.request({ method: 'GET', path: '/', headers: { 'x-forwarded-for': '203.0.113.9' } })
    const status = async () => {
      const { statusCode, body } = await asked()
      await body.dump()
      return statusCode
    }

    assert.equal(await status(), 200)
    mesh.inbound.authorize({ default: 'deny', rules: [{ name: 'local', ports: [port + 1], allow }] })
    assert.equal(await status(), 403)
    mesh.inbound.authorize({ rules: [{ name: 'far', allow: [{ networks: [{ cidr: '203.0.113.9' }] }] }] })
    assert.equal(await status(), 403)
  }
})

test('a connection by a Unix socket has no port and is in no network', async (t) => {
  t.mock.method(process, 'emitWarning', () => {})
  const { mesh } = serving({}, { matching })
  const folder = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  cleanup(t, () => rmSync(folder, { recursive: true }))
  const socketPath = join(folder, 'socket')
  const server = http.createServer(inmeshHttp({ mesh }, (_request, response) => response.end('-'))).listen(socketPath)
  await new Promise((resolve) => server.once('listening', resolve))
  cleanup(t, () => new Promise((resolve) => server.close(resolve).closeAllConnections()))
  const client = new Client('http://local', { socketPath })
  cleanup(t, () => client.destroy())

  const statuses: number[] = []
  for (const options of [{ rules: [{ name: 'r', ports: [80], allow: [] }] }, { default: 'cluster-unauthenticated' as const }]) {
    mesh.inbound.authorize(options)
    const { statusCode, body } = await client.request({ method: 'GET', path: '/' })
    await body.dump()
    statuses.push(statusCode)
  }

  assert.deepEqual(statuses, [200, 403])
})

describe('grpc-js', () => {
  const METHOD = { method: { service: 'inmesh.trial.Trial', method: 'Ask' } }
  const rules = [{ name: 'admins-only', matches: [METHOD], allow: [{ identities: [ADMIN] }] }]

  test('answers a stranger PERMISSION_DENIED before the handler, without a word of why', async (t) => {
    t.mock.method(process, 'emitWarning', () => {})
    let called = 0
    const ask: grpc.handleUnaryCall<object, object> = (_call, callback) => {
      called++
      callback(null, {})
    }
    const { client, seen } = await serveGrpc(t, { inbound: { authorization: { rules } }, parts: { matching }, handlers: { ask } })

    const { code, details, metadata } = await failure(answer((done) => client.ask({}, done)))
    await answer((done) => client.empty({}, done))
    const stream = client.converse()
    await new Promise((resolve) => stream.on('end', resolve).resume().end())
    await seen.whenEnded(3)

    assert.deepEqual([code, details, called], [grpc.status.PERMISSION_DENIED, 'unauthorized', 0])
    assert.equal(JSON.stringify(metadata.getMap()).includes('admins'), false)
    assert.deepEqual(seen.endings, [
      'ended 7 unauthorized /inmesh.trial.Trial/Ask',
      'ended 0 ok /inmesh.trial.Trial/Empty',
      'ended 0 ok /inmesh.trial.Trial/Converse',
    ])
  })

  test('serves who is allowed by the certificate of the connection', async (t) => {
    const { key, cert } = testCertificate
    const bytes = [Buffer.from(cert), Buffer.from(key)] as const
    const { client } = await serveGrpc(t, {
      inbound: { authorization: { default: 'deny', rules } },
      parts: { matching, identityOf: () => ADMIN },
      credentials: grpc.ServerCredentials.createSsl(bytes[0], [{ private_key: bytes[1], cert_chain: bytes[0] }], true),
      clientCredentials: grpc.credentials.createSsl(bytes[0], bytes[1], bytes[0]),
    })

    assert.equal((await answer<{ server: string }>((done) => client.ask({}, done))).server, 'a')
  })

  test('knows the port and the network of a call', async (t) => {
    t.mock.method(process, 'emitWarning', () => {})
    const { client, port, mesh } = await serveGrpc(t, { parts: { matching } })
    const allow = [{ networks: [{ cidr: '127.0.0.0/8' }] }]
    const call = () =>
      answer((done) => client.ask({}, done)).then(
        () => 0,
        ({ code }: grpc.ServiceError) => code,
      )

    const codes: unknown[] = []
    for (const ports of [[port], [port + 1]]) {
      mesh.inbound.authorize({ default: 'deny', rules: [{ name: 'local', ports, allow }] })
      codes.push(await call())
    }

    assert.deepEqual(codes, [0, grpc.status.PERMISSION_DENIED])
  })
})
