import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import http, { type IncomingMessage } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type net from 'node:net'
import { connect as connectPlain } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import fastify, { type FastifyServerFactory } from 'fastify'
import { identityOf } from '../../src/server/secure-connection.ts'
import { secureServer } from '../../src/server/secure-server.ts'
import { cleanup } from '../support/servers.ts'
import { settle } from '../support/virtual-time.ts'
import { time } from '../tls/der-writer.ts'
import { HOUR, NOW } from '../tls/test-certificates.ts'
import { makeIdentity, trialRoot } from '../tls/trial-identities.ts'
import { express } from './support/express.ts'
import { CLIENT_ID, listenOn, type SecurityTrial, trialSecurity, until } from './trial-security.ts'

const shown = (request: { readonly socket: object }): string => {
  const { encrypted = false, remoteAddress } = request.socket as Partial<tls.TLSSocket>
  return `${encrypted} ${identityOf(request.socket) ?? 'nobody'} ${remoteAddress}`
}
const PLAIN = 'false nobody 127.0.0.1'
const MESHED = `true ${CLIENT_ID} 127.0.0.1`
const STRANGER = 'true nobody 127.0.0.1'

describe('one port serves callers in plaintext, with an identity, and by TLS without one:', () => {
  test('node:http', async (t) => {
    const trial = trialSecurity(t)
    const server = http.createServer((request, response) => response.end(shown(request)))

    await assertServesAll(t, trial, server)

    assert.deepEqual(
      trial.seen.filter((text) => text.startsWith('accepted')),
      ['accepted plaintext', 'accepted mtls', 'accepted tls'],
    )
    assert.ok(trial.seen.includes(`server ok ${CLIENT_ID}`))
  })

  test('Express 5', async (t) => {
    const app = express('express')().get('/', (request, response) => void response.send(shown(request)))

    await assertServesAll(t, trialSecurity(t), http.createServer(app))
  })

  test('Express 4', async (t) => {
    const app = express('express4')().get('/', (request, response) => void response.send(shown(request)))

    await assertServesAll(t, trialSecurity(t), http.createServer(app))
  })

  test('Fastify', async (t) => {
    const app = fastify()
    app.get('/', (request) => shown(request))
    await app.ready()

    await assertServesAll(t, trialSecurity(t), app.server)
  })

  test('node:http2', async (t) => {
    const trial = trialSecurity(t)
    const server = http2.createServer((request, response) => void response.end(shown(request)))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)

    assert.equal(await getH2(t, `http://127.0.0.1:${port}`), PLAIN)
    assert.equal(await getH2(t, `https://127.0.0.1:${port}`, trial.caller), MESHED)
    assert.equal(await getH2(t, `https://127.0.0.1:${port}`, { rejectUnauthorized: false }), STRANGER)
  })
})

describe('a server that was made for TLS', () => {
  test('serves with this identity, and refuses plaintext', async (t) => {
    const trial = trialSecurity(t)
    const server = https.createServer((request, response) => response.end(shown(request)))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)

    assert.equal(await getTls(port, trial.caller), MESHED)
    const refused = await get(port)

    assert.equal(refused.statusCode, 400)
    assert.equal(refused.headers.connection, 'close')
    assert.equal(refused.body, 'this port takes TLS only: call it with https, or through the mesh\n')
  })

  test('serves both versions of HTTP if it is made to', async (t) => {
    const trial = trialSecurity(t)
    const server = http2.createSecureServer({ allowHTTP1: true }, (request, response) => void response.end(shown(request)))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)

    assert.equal(await getTls(port, { ...trial.caller, ALPNProtocols: ['http/1.1'] }), MESHED)
    assert.equal(await getH2(t, `https://127.0.0.1:${port}`, trial.caller), MESHED)
  })
})

describe('a strict port', () => {
  test('refuses HTTP/1.1 in plaintext with a text', async (t) => {
    const { trial, port } = await strictServer(t)

    const refused = await get(port, { method: 'POST' }, 'x'.repeat(200_000))

    assert.equal(refused.statusCode, 400)
    assert.match(refused.body, /^this port takes TLS only/)
    assert.match(
      await trial.told(/plaintext_refused/),
      /^server plaintext_refused 127.0.0.1:\d+: the caller speaks plaintext to a port/,
    )
  })

  test('refuses HTTP/2 in plaintext with a GOAWAY that says why', async (t) => {
    const { port } = await strictServer(t)
    const session = http2.connect(`http://127.0.0.1:${port}`)
    session.on('error', () => {})

    const [code, lastStream, text] = await once(session, 'goaway')

    assert.equal(code, http2.constants.NGHTTP2_INADEQUATE_SECURITY)
    assert.equal(lastStream, 0)
    assert.match(String(text), /^this port takes TLS only/)
    session.destroy()
  })

  test('hangs up on bytes that are neither', async (t) => {
    const { port } = await strictServer(t)
    const socket = connectPlain(port, '127.0.0.1')
    socket.write(Buffer.from([0, 1, 2, 3]))

    const [bytes] = await Promise.all([bytesOf(socket), once(socket, 'close')])

    assert.equal(bytes.length, 0)
  })

  test('demands a certificate, in the words of TLS', async (t) => {
    const { trial, port } = await strictServer(t)

    await assert.rejects(getTls(port, { rejectUnauthorized: false }), { code: 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED' })

    assert.match(await trial.told(/no_certificate/), /127.0.0.1:\d+: the caller has shown no certificate and this port is strict/)
  })

  test('serves whoever has an identity', async (t) => {
    const { trial, port } = await strictServer(t)

    assert.equal(await getTls(port, trial.caller), MESHED)
  })
})

describe('a caller who is not believed is refused, also where none is asked for:', () => {
  const cases: Record<string, { rule: string; identity: (trial: SecurityTrial) => ReturnType<typeof makeIdentity> }> = {
    'one of another root': { rule: 'signature', identity: () => makeIdentity(trialRoot(), '/ns/emojivoto/sa/web') },
    'one of another trust domain': {
      rule: 'trust-domain',
      identity: () => makeIdentity(trialRoot(), '/ns/emojivoto/sa/web', { domain: 'other.example' }),
    },
    'one that has expired': {
      rule: 'validity',
      identity: ({ root }) => makeIdentity(root, '/web', { recipe: { notAfter: time(NOW - HOUR / 2) } }),
    },
  }
  for (const [name, { rule, identity }] of Object.entries(cases)) {
    test(name, async (t) => {
      const trial = trialSecurity(t)
      const port = await serve(t, trial)

      await assert.rejects(getTls(port, trial.callerWith(identity(trial))), { code: 'ECONNRESET' })

      const told = await trial.told(/^server (?!ok)/)
      assert.ok(told.startsWith(`server ${rule} 127.0.0.1:`) || (rule === 'signature' && /untrusted/.test(told)), told)
    })
  }

  test('one on the deny-list', async (t) => {
    const trial = trialSecurity(t)
    trial.revocations.replace({ ids: [CLIENT_ID] })
    const port = await serve(t, trial)

    await assert.rejects(getTls(port, trial.caller), { code: 'ECONNRESET' })

    assert.match(await trial.told(/revoked/), /this identity is on the deny-list/)
  })
})

describe('a handshake', () => {
  test('that is begun and stopped ends after ten seconds', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    const socket = connectPlain(port, '127.0.0.1')
    socket.write(Buffer.from([0x16, 3, 1]))
    socket.resume()
    const closed = once(socket, 'close')
    await until(() => trial.clock.pending > 0)
    await settle()

    trial.clock.advance(9_999)
    await settle()
    assert.equal(socket.destroyed, false)
    trial.clock.advance(1)

    await closed
    assert.match(trial.seen[0] ?? '', /^server timeout 127.0.0.1:\d+: not finished within 10000 ms$/)
  })

  test('of garbage ends at once, and others are served', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    const socket = connectPlain(port, '127.0.0.1')
    socket.write(Buffer.from([0x16, ...Buffer.from('garbage that is none')]))
    socket.resume()
    await once(socket, 'close')

    assert.match(await trial.told(/protocol/), /no agreement on TLS 1.3: /)
    assert.equal(await getTls(port, trial.caller), MESHED)
  })

  test('whose caller leaves is over', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    const socket = connectPlain(port, '127.0.0.1')
    socket.end(Buffer.from([0x16, 3, 1, 2, 0]))
    socket.resume()
    await once(socket, 'close')

    assert.match(await trial.told(/^server/), /^server broken_off /)
    assert.equal(trial.clock.pending, 0)
  })

  test('is of TLS 1.3 or none', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)

    await assert.rejects(
      getTls(port, { ...trial.caller, secureContext: undefined, maxVersion: 'TLSv1.2' } as never),
      /protocol version/,
    )

    assert.match(await trial.told(/^server/), /no agreement on TLS 1.3: unsupported protocol/)
  })

  test('is never resumed', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    const first = tls.connect({ port, host: '127.0.0.1', ...trial.caller })
    const sessions: Buffer[] = []
    first.on('session', (session) => sessions.push(session))
    first.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n')
    first.resume()
    await once(first, 'close')
    const session = sessions[0]

    const second = tls.connect({ port, host: '127.0.0.1', ...trial.caller, ...(session && { session }) })
    await once(second, 'secureConnect')

    assert.equal(second.isSessionReused(), false)
    second.destroy()
  })

  test('waits for the first identity of this process', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    trial.clock.advance(25 * HOUR)
    const answered = getTls(port, trial.caller)
    await until(() => trial.clock.pending >= 2)

    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting', { notAfter: NOW + 48 * HOUR }))

    await assert.rejects(answered, { code: 'ECONNRESET' })
    assert.match(await trial.told(/validity/), /expired/)
  })
})

test('a connection that says nothing holds no more than its socket, and a minute', async (t) => {
  const trial = trialSecurity(t)
  const port = await serve(t, trial)
  const socket = connectPlain(port, '127.0.0.1')
  await until(() => trial.clock.pending > 0)

  trial.clock.advance(60_000)

  await once(socket.resume(), 'close')
  assert.equal(trial.clock.pending, 0)
})

test('close() ends connections that have said nothing', async (t) => {
  const trial = trialSecurity(t)
  const server = http.createServer(() => {})
  secureServer(trial.security, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connectPlain((server.address() as net.AddressInfo).port, '127.0.0.1').resume()
  await until(() => trial.clock.pending > 0)

  await new Promise((resolve) => server.close(resolve))

  await once(socket, 'close')
})

describe('nothing that a caller sends is lost:', () => {
  const BODY = Buffer.alloc(3_000_000, 'inmesh')

  test('a long body over HTTP/1.1', async (t) => {
    const trial = trialSecurity(t)
    const server = http.createServer((request, response) => void request.pipe(response))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)

    const options = { method: 'POST', port, host: '127.0.0.1', agent: false } as const
    for (const request of [http.request(options), https.request({ ...options, ...trial.caller })]) {
      request.end(BODY)
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      assert.ok((await bytesOf(response)).equals(BODY))
    }
  })

  test('a long body over HTTP/2', async (t) => {
    const trial = trialSecurity(t)
    const server = http2.createServer((request, response) => void request.pipe(response))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)

    for (const session of [
      http2.connect(`http://127.0.0.1:${port}`),
      http2.connect(`https://127.0.0.1:${port}`, { ...trial.caller, ALPNProtocols: ['h2'] }),
    ]) {
      cleanup(t, () => session.destroy())
      const stream = session.request({ ':method': 'POST' })
      stream.end(BODY)
      assert.ok((await bytesOf(stream)).equals(BODY))
    }
  })

  test('a request in single bytes, from a caller that then has nothing more to say', async (t) => {
    const trial = trialSecurity(t)
    const port = await serve(t, trial)
    const socket = connectPlain({ port, host: '127.0.0.1', noDelay: true })
    for (const byte of 'GET / HTTP/1.0\r\n\r\n') {
      socket.write(byte)
      await settle()
    }
    socket.end()

    assert.match(String(await bytesOf(socket)), new RegExp(`^HTTP/1.1 200 OK[^]*${PLAIN}$`))
  })
})

test('a WebSocket is upgraded, by TLS and in plaintext', async (t) => {
  const trial = trialSecurity(t)
  const server = http.createServer()
  server.on('upgrade', (request, socket, head) => {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n${shown(request)}|`)
    socket.write(head)
    socket.pipe(socket)
  })
  secureServer(trial.security, server)
  const port = await listenOn(t, server)

  for (const [options, who] of [
    [undefined, PLAIN],
    [trial.caller, MESHED],
  ] as const) {
    const head = { port, host: '127.0.0.1', agent: false, headers: { connection: 'upgrade', upgrade: 'websocket' } }
    const request = options === undefined ? http.get(head) : https.get({ ...head, ...options })
    const [, socket, read] = (await once(request, 'upgrade')) as [IncomingMessage, net.Socket, Buffer]
    socket.end('echo')
    assert.equal(`${read}${await bytesOf(socket)}`, `${who}|echo`)
  }
})

test('a mode that there is not is refused', (t) => {
  const { security } = trialSecurity(t)

  assert.throws(() => secureServer(security, http.createServer(), { mode: 'off' as never }), {
    message: 'tls.mode: expected permissive or strict, got "off"',
  })
})

test('a server is secured once', (t) => {
  const { security } = trialSecurity(t)
  const server = http.createServer()
  secureServer(security, server)

  assert.throws(() => secureServer(security, server), {
    code: 'INMESH_CONFIG',
    message: 'secure: this server is secured already',
  })
})

test('Fastify serves by TLS on every address of a name', async (t) => {
  const trial = trialSecurity(t, 'strict')
  const serverFactory: FastifyServerFactory = (handler) =>
    secureServer(trial.security, http.createServer(handler as http.RequestListener))
  const app = fastify({ serverFactory })
  app.get('/', (request) => shown(request))
  await app.listen({ port: 0, host: 'localhost' })
  cleanup(t, () => app.close())

  for (const { address, port } of app.addresses() as net.AddressInfo[]) {
    assert.match(await getTls(port, { ...trial.caller, host: address }), new RegExp(`^true ${CLIENT_ID}`))
    assert.equal((await get(port, { host: address })).statusCode, 400)
  }
})

test('openssl, or else Node, sees TLS 1.3 alone, and is asked for a certificate', async (t) => {
  const trial = trialSecurity(t)
  const port = await serve(t, trial)

  const [newest, older] = await Promise.all([probe(port, trial), probe(port, trial, 'TLSv1.2')])

  assert.match(newest, /TLSv1\.3/)
  assert.match(newest, /Requested Signature Algorithms|asked/)
  assert.match(older, /protocol version/)
})

async function assertServesAll(t: TestContext, trial: SecurityTrial, server: http.Server): Promise<void> {
  secureServer(trial.security, server)
  const port = await listenOn(t, server)

  assert.equal((await get(port)).body, PLAIN)
  assert.equal(await getTls(port, trial.caller), MESHED)
  assert.equal(await getTls(port, { rejectUnauthorized: false }), STRANGER)
}

async function serve(t: TestContext, trial: SecurityTrial): Promise<number> {
  const server = http.createServer((request, response) => response.end(shown(request)))
  secureServer(trial.security, server)
  return listenOn(t, server)
}

async function strictServer(t: TestContext) {
  const trial = trialSecurity(t, 'strict')
  const server = http.createServer((request, response) => response.end(shown(request)))
  secureServer(trial.security, server)
  return { trial, server, port: await listenOn(t, server) }
}

async function get(port: number, options: http.RequestOptions = {}, body = ''): Promise<IncomingMessage & { body: string }> {
  const request = http.request({ port, host: '127.0.0.1', agent: false, ...options })
  request.on('error', () => {})
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return Object.assign(response, { body: String(await bytesOf(response)) })
}

async function getTls(port: number, options: https.RequestOptions & tls.ConnectionOptions): Promise<string> {
  const request = https.get({ port, host: '127.0.0.1', agent: false, servername: '', ...options })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return String(await bytesOf(response))
}

async function getH2(t: TestContext, origin: string, options: http2.SecureClientSessionOptions = {}): Promise<string> {
  const session = http2.connect(origin, { ALPNProtocols: ['h2'], ...options })
  cleanup(t, () => session.destroy())
  const stream = session.request({ ':path': '/' })
  const text = String(await bytesOf(stream))
  await new Promise<void>((resolve) => session.close(resolve))
  return text
}

const OPENSSL = 'openssl'

/** What `openssl s_client` says of a server; where there is none, the same facts from Node. */
async function probe(port: number, trial: SecurityTrial, version: 'TLSv1.3' | 'TLSv1.2' = 'TLSv1.3'): Promise<string> {
  const flag = version === 'TLSv1.3' ? '-tls1_3' : '-tls1_2'
  return new Promise((resolve) => {
    const child = execFile(OPENSSL, ['s_client', flag, '-connect', `127.0.0.1:${port}`], (error, out, err) => {
      if ((error as NodeJS.ErrnoException | null)?.code !== 'ENOENT') return resolve(`${out}${err}`)
      const versions = { minVersion: version, maxVersion: version } as const
      const socket = tls.connect({ port, host: '127.0.0.1', ...(version === 'TLSv1.3' ? trial.caller : versions) })
      socket.on('error', ({ message }) => resolve(message))
      // A client shows a certificate to those alone who ask for one.
      socket.on('secureConnect', async () => {
        resolve(`${socket.getProtocol()} asked: ${await trial.told(/accepted mtls/)}`)
        socket.destroy()
      })
    })
    child.stdin?.on('error', () => {})
    child.stdin?.end()
  })
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}
