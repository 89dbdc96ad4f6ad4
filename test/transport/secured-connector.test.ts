import assert from 'node:assert/strict'
import type http from 'node:http'
import net from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import tls, { type TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../../src/core/clock.ts'
import type { Address } from '../../src/core/endpoint.ts'
import { type ConnectionOptions, securedConnector } from '../../src/transport/connector.ts'
import type { MeshTls } from '../../src/transport/mesh-tls.ts'
import { securedEndpoint } from '../../src/transport/secured-endpoint.ts'
import { REFUSED_PORT, until } from '../support/engine.ts'
import {
  aRoot,
  identityOf,
  listening,
  meshed,
  ROOT,
  serveMeshed,
  serveMeshedH2,
  serverTls,
  serveWiretap,
  VOTING,
  WEB,
} from '../support/meshed.ts'
import { cleanup, serve } from '../support/servers.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { HOUR } from '../tls/test-certificates.ts'

const OPTIONS: ConnectionOptions = { connectTimeoutMs: 1_000, h2c: false, allowH2: true, tls: undefined }
const HTTP = { hostname: 'voting', host: 'voting', protocol: 'http:', port: '' }

interface Dialling {
  readonly identity?: string
  readonly options?: Partial<ConnectionOptions>
  readonly clock?: Clock
}

function dial(t: TestContext, port: number, mesh: MeshTls, { identity = VOTING, options, clock = systemClock }: Dialling = {}) {
  const address: Address = { host: '127.0.0.1', port, ...(identity === '' ? {} : { identity }) }
  const secured = securedEndpoint(address, mesh, () => {})
  assert.ok(secured)
  cleanup(t, () => secured.close())
  const connect = securedConnector(address, { ...OPTIONS, ...options }, clock, secured)
  return new Promise<TLSSocket>((resolve, reject) =>
    connect(HTTP, (error, socket) => {
      if (error !== null) return reject(error)
      cleanup(t, () => socket.destroy())
      resolve(socket as TLSSocket)
    }),
  )
}

const hello: http.RequestListener = (_request, response) => response.end('hello')

describe('a connection to an endpoint whose identity is known', () => {
  test('is TLS 1.3 with both identities shown, and names no server', async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), hello)
    const shown: unknown[] = []
    server.server.on('secureConnection', (socket: TLSSocket) =>
      shown.push(socket.getPeerCertificate().subjectaltname, socket.servername, socket.getProtocol(), socket.authorized),
    )
    const mesh = meshed(t)

    const socket = await dial(t, server.port, mesh)
    await until(() => shown.length > 0)

    assert.deepEqual(shown, [`URI:${WEB}`, false, 'TLSv1.3', true])
    assert.equal(socket.alpnProtocol, 'http/1.1')
    assert.deepEqual(mesh.results, ['ok'])
  })

  test('asks for HTTP/2 inside TLS for a service that speaks it', async (t) => {
    const server = await serveMeshedH2(t, identityOf(VOTING), hello)

    const socket = await dial(t, server.port, meshed(t), { options: { h2c: true } })

    assert.equal(socket.alpnProtocol, 'h2')
  })

  test('speaks HTTP/2 by prior knowledge to a server that negotiates nothing', async (t) => {
    const server = await listening(t, tls.createServer(serverTls(identityOf(VOTING))))

    const socket = await dial(t, server.port, meshed(t), { options: { h2c: true } })

    assert.equal(socket.alpnProtocol, 'h2')
  })

  test('may have any identity that the service allows', async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), hello)

    await dial(t, server.port, meshed(t, { allowed: [VOTING] }), { identity: WEB })
    await dial(t, server.port, meshed(t, { allowed: [WEB, VOTING] }), { identity: '' })
  })

  test('shows nothing on the wire', async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), (request, response) => response.end(request.url))
    const wire = await serveWiretap(t, server.port)
    const socket = await dial(t, wire.port, meshed(t))
    const answer: Buffer[] = []
    socket.on('data', (chunk: Buffer) => answer.push(chunk))

    socket.write('GET /a-secret HTTP/1.1\r\nhost: voting\r\n\r\n')
    await until(() => String(Buffer.concat(answer)).includes('/a-secret'))

    const seen = wire.bytes().toString('latin1')
    assert.ok(seen.length > 1_000)
    for (const word of ['a-secret', 'voting', 'web', 'HTTP/1.1']) assert.ok(!seen.includes(word), word)
  })
})

describe('a connection is refused', () => {
  test('to somebody else', async (t) => {
    const server = await serveMeshed(t, identityOf(WEB), hello)
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), {
      code: 'INMESH_IDENTITY',
      message: new RegExp(
        `^127.0.0.1:${server.port}: leaf certificate \\(serial \\w+\\) of ${WEB}: is believed, and ${VOTING} was expected: correct`,
      ),
    })
    assert.deepEqual(mesh.results, ['not-allowed'])
    await server.idle()
  })

  test('to a certificate that has expired', async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING, { lifeMs: -HOUR / 2 }), hello)
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), /leaf certificate \(serial \w+\).*: expired/)
    assert.deepEqual(mesh.results, ['validity'])
  })

  test('to another trust domain', async (t) => {
    const server = await serveMeshed(t, identityOf('spiffe://other.example/ns/a/sa/voting'), hello)
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), /its trust domain other.example is not trusted here/)
    assert.deepEqual(mesh.results, ['trust-domain'])
  })

  test('to the right name, signed by somebody else', async (t) => {
    const identity = identityOf(VOTING, { root: aRoot(), trust: [ROOT] })
    const server = await serveMeshed(t, identity, hello)
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), /certificate \(serial \w+\)/)
    assert.deepEqual(mesh.results, ['untrusted'])
  })

  test('to a server that speaks in plaintext', async (t) => {
    const server = await serve(t, hello)
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), {
      code: 'INMESH_IDENTITY',
      message:
        `127.0.0.1:${server.port}: does not speak TLS, and ${VOTING} is expected there, who is never spoken to in plaintext: ` +
        'have its server listen through the mesh, or take the identity out of its entry in discovery',
    })
    assert.deepEqual(mesh.results, ['protocol'])
    await server.idle()
  })

  test('to a server that speaks an older TLS', async (t) => {
    const server = await listening(t, tls.createServer(serverTls(identityOf(VOTING), 'TLSv1.2')))
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), /does not speak TLS 1.3: have its server listen through the mesh/)
    assert.deepEqual(mesh.results, ['protocol'])
  })

  test("to a server that does not speak the service's protocol", async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), hello)

    await assert.rejects(dial(t, server.port, meshed(t), { options: { h2c: true } }), /correct the service's `protocol`/)
  })

  test('to a server that hangs up in the handshake', async (t) => {
    const server = await listening(
      t,
      net.createServer((socket) => void socket.once('data', () => socket.destroy())),
    )
    const mesh = meshed(t)

    await assert.rejects(dial(t, server.port, mesh), /closed the connection during the TLS handshake/)
    assert.deepEqual(mesh.results, ['broken_off'])
  })

  test('when nobody is known to be there and the service is strict', async (t) => {
    const mesh = meshed(t, { strict: true })

    await assert.rejects(dial(t, REFUSED_PORT, mesh, { identity: '' }), {
      code: 'INMESH_IDENTITY',
      message:
        '127.0.0.1:1 has no identity and the service voting is strict: ' +
        'give its entry in discovery an identity, allow identities for the service, or take `strict` off it',
    })
  })

  test("when this process's own identity can't be had", async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), hello)
    const mesh = meshed(t, { identity: null })
    const failed = assert.rejects(
      dial(t, server.port, mesh),
      /127.0.0.1:\d+: this process has no identity to show: the disk is full$/,
    )

    mesh.source.error('the disk is full')

    await failed
    assert.equal(server.accepted(), 0)
    assert.deepEqual(mesh.results, ['no_identity'])
  })

  test("as the system does when nobody listens, which is no handshake's fault", async (t) => {
    const mesh = meshed(t)

    await assert.rejects(dial(t, REFUSED_PORT, mesh), { code: 'ECONNREFUSED' })

    assert.deepEqual(mesh.results, [])
  })
})

test('what can not be dialled fails as a connection does', async (t) => {
  const mesh = meshed(t)
  const secured = securedEndpoint({ host: '127.0.0.1', port: REFUSED_PORT, identity: VOTING }, mesh, () => {})
  assert.ok(secured)
  cleanup(t, () => secured.close())

  const failure = await new Promise<Error>((resolve) => {
    secured.dial({ localAddress: 'nowhere' }, 'http/1.1', { secured: () => assert.fail(), failed: resolve })
  })

  assert.equal((failure as NodeJS.ErrnoException).code, 'ERR_INVALID_IP_ADDRESS')
})

describe('connectTimeoutMs bounds', () => {
  test('a handshake that the other end does not answer', async (t) => {
    let accepted = 0
    const silent = await listening(
      t,
      net.createServer((socket) => void socket.once('data', () => accepted++)),
    )
    const clock = new VirtualClock()
    const mesh = meshed(t)
    const failed = assert.rejects(dial(t, silent.port, mesh, { clock }), {
      code: 'UND_ERR_CONNECT_TIMEOUT',
      message: `connect timeout 127.0.0.1:${silent.port} (1000 ms): the TLS handshake was not answered`,
    })
    await until(() => accepted === 1)

    clock.advance(1_001)

    await failed
    assert.deepEqual(mesh.results, ['timeout'])
    await silent.idle()
  })

  test("waiting for this process's own identity, and connects when it comes in time", async (t) => {
    const server = await serveMeshed(t, identityOf(VOTING), hello)
    const clock = new VirtualClock()
    const mesh = meshed(t, { identity: null })
    const failed = assert.rejects(dial(t, server.port, mesh, { clock }), {
      message: `connect timeout 127.0.0.1:${server.port} (1000 ms): this process's own identity has not come from its source`,
    })
    clock.advance(1_001)
    await failed

    const connected = dial(t, server.port, mesh, { clock })
    mesh.source.identity(identityOf(WEB))

    assert.ok(await connected)
    assert.equal(clock.pending, 0)
    assert.equal(server.accepted(), 1)
  })
})
