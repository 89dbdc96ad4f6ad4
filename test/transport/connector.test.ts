import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { buildConnector } from 'undici'
import type { systemClock } from '../../src/core/clock.ts'
import { type ConnectionOptions, connector } from '../../src/transport/connector.ts'
import { REFUSED_PORT, until } from '../support/engine.ts'
import { serve, serveRaw, serveTls, testCertificate } from '../support/servers.ts'
import { VirtualClock } from '../support/virtual-time.ts'

const OPTIONS: ConnectionOptions = { connectTimeoutMs: 1_000, h2c: false, allowH2: true, tls: undefined }
const HTTP = { hostname: 'voting', host: 'voting', protocol: 'http:', port: '' }
const HTTPS = { hostname: 'voting', host: 'voting', protocol: 'https:', port: '' }

function dial(
  port: number,
  options: Partial<ConnectionOptions>,
  target: buildConnector.Options,
  clock = new VirtualClock() as never as typeof systemClock,
): Promise<Socket> {
  const connect = connector({ host: '127.0.0.1', port }, { ...OPTIONS, ...options }, clock)
  return new Promise((resolve, reject) => connect(target, (error, socket) => (error ? reject(error) : resolve(socket as Socket))))
}

test('dials the endpoint, whatever host it is asked for', async (t) => {
  const server = await serve(t, (_req, res) => res.end())

  const socket = await dial(server.port, {}, HTTP)

  assert.equal(socket.remotePort, server.port)
  socket.destroy()
})

test('shows the name of the service in the TLS handshake, and checks the certificate against it', async (t) => {
  const server = await serveTls(t, (_req, res) => res.end())
  const names: unknown[] = []
  server.server.on('secureConnection', (socket) => names.push(socket.servername))
  const tls = { ca: testCertificate.cert }

  for (const [target, options] of [
    [HTTPS, tls],
    [{ ...HTTPS, servername: 'localhost' }, tls],
    [
      { ...HTTPS, hostname: 'other' },
      { ...tls, servername: 'voting' },
    ],
    [
      { ...HTTPS, servername: 'localhost' },
      { ...tls, servername: 'voting' },
    ],
    [{ ...HTTPS, host: '127.0.0.1', hostname: '127.0.0.1' }, tls],
  ] as const) {
    const secured = once(server.server, 'secureConnection')
    const socket = await dial(server.port, { tls: options }, target)
    await secured
    socket.destroy()
    await server.idle()
  }

  assert.deepEqual(names, ['voting', 'localhost', 'voting', 'localhost', false])
  await assert.rejects(dial(server.port, { tls }, { ...HTTPS, hostname: 'other' }), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
})

test('fails as the system does', async () => {
  await assert.rejects(dial(REFUSED_PORT, {}, HTTP), { code: 'ECONNREFUSED' })
})

test('gives up after connectTimeoutMs, and closes the socket', async (t) => {
  const silent = await serveRaw(t, (socket) => void socket.resume())
  const clock = new VirtualClock()
  const failed = assert.rejects(dial(silent.port, { connectTimeoutMs: 80 }, HTTPS, clock), {
    name: 'ConnectTimeoutError',
    code: 'UND_ERR_CONNECT_TIMEOUT',
    message: `connect timeout 127.0.0.1:${silent.port} (80 ms)`,
  })
  await once(silent.server, 'connection')

  clock.advance(80)
  assert.equal(silent.connections.size, 1, 'one more turn of the loop is granted')
  clock.advance(1)

  await failed
  await silent.idle()
})

test('leaves no timer behind', async (t) => {
  const server = await serve(t, (_req, res) => res.end())
  const clock = new VirtualClock()

  const socket = await dial(server.port, {}, HTTP, clock)
  await assert.rejects(dial(REFUSED_PORT, {}, HTTP, clock))
  await until(() => clock.pending === 0)
  clock.advance(5_000)

  assert.equal(socket.destroyed, false)
  socket.destroy()
})

test('waits for ever when asked to', async (t) => {
  const silent = await serveRaw(t, (socket) => void socket.resume())
  const clock = new VirtualClock()
  const connected = dial(silent.port, { connectTimeoutMs: 0 }, HTTPS, clock)
  await once(silent.server, 'connection')

  assert.equal(clock.pending, 0)
  for (const socket of silent.connections) socket.destroy()
  await assert.rejects(connected)
})
