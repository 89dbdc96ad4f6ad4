import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { secureServer } from '../../src/server/secure-server.ts'
import { cleanup } from '../support/servers.ts'
import { HOUR, NOW } from '../tls/test-certificates.ts'
import { makeIdentity, trialRoot } from '../tls/trial-identities.ts'
import { CLIENT_ID, listenOn, trialSecurity } from './trial-security.ts'

/** Longer than it takes until every connection was told to go, in milliseconds. */
const MINUTE = 60_000

describe('after a rotation', () => {
  test('an HTTP/1.1 connection finishes what is under way, says that it goes, and the next one has the new identity', async (t) => {
    const { trial, answers, asked, get } = await http1(t)
    const first = get()
    await asked(1)

    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting'))
    trial.clock.advance(MINUTE)
    answers.shift()?.end('late')
    const late = await first

    assert.equal(late.text, 'late')
    const second = get()
    await asked(2)
    answers.shift()?.end('last')
    assert.equal((await second).connection, 'close')
    const third = get()
    await asked(3)
    answers.shift()?.end('new')
    const { serial, connection } = await third
    assert.notEqual(serial, late.serial)
    assert.equal(connection, 'keep-alive')
  })

  test('an HTTP/2 connection gets GOAWAY, and finishes what is under way', async (t) => {
    const trial = trialSecurity(t)
    const streams: http2.ServerHttp2Stream[] = []
    const server = http2.createServer()
    server.on('stream', (stream) => streams.push(stream))
    secureServer(trial.security, server)
    const port = await listenOn(t, server)
    const session = http2.connect(`https://127.0.0.1:${port}`, { ...trial.caller, ALPNProtocols: ['h2'] })
    cleanup(t, () => session.destroy())
    const request = session.request({ ':path': '/' })
    await once(server, 'stream')

    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting'))
    const goaway = once(session, 'goaway')
    trial.clock.advance(MINUTE)
    await goaway
    streams[0]?.respond({ ':status': 200 })
    streams[0]?.end('whole')

    assert.equal(String(Buffer.concat(await request.toArray())), 'whole')
    await once(session, 'close')
  })

  test('connections are told to go by turns, within a minute', async (t) => {
    const trial = trialSecurity(t)
    const left: number[] = []
    const connections = Array.from({ length: 400 }, (_, index) =>
      fakeConnection(trial.keyring.generation, () => left.push(index)),
    )
    for (const connection of connections) trial.security.connections.add(connection as never)

    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting'))
    trial.clock.advance(5_000)

    assert.equal(left.length, 34)
    trial.clock.advance(55_000)
    assert.equal(left.length, 400)
    trial.clock.advance(MINUTE)
    assert.equal(left.length, 400)
  })

  test('to another root, the peers of both roots are served while both are trusted', async (t) => {
    const { trial, get, answers, asked } = await http1(t)
    const newRoot = trialRoot()
    trial.source.identity(makeIdentity(newRoot, '/ns/emojivoto/sa/voting', { trust: [trial.root, newRoot] }))

    for (const root of [trial.root, newRoot]) {
      const answer = get({ agent: false, ...trial.callerWith(makeIdentity(root, '/ns/emojivoto/sa/web')) })
      await asked(root === newRoot ? 2 : 1)
      answers.shift()?.end('hello')
      assert.equal((await answer).text, 'hello')
    }
  })
})

describe('a connection whose identities have expired', () => {
  test('is told to go, and cut off five minutes later whatever is under way', async (t) => {
    const { trial, answers, asked, get } = await http1(t)
    const request = get()
    await asked(1)
    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting', { notAfter: NOW + 100 * HOUR }))
    answers[0]?.write('a part')

    trial.clock.advance(24 * HOUR + 290_000)
    assert.equal(answers[0]?.destroyed, false)
    trial.clock.advance(20_000)

    await assert.rejects(request, { code: 'ECONNRESET' })
  })
})

test('who is put on the deny-list is cut off at once', async (t) => {
  const { trial, asked, get } = await http1(t)
  const request = get()
  await asked(1)

  trial.revocations.replace({ ids: [CLIENT_ID] })

  await assert.rejects(request, { code: 'ECONNRESET' })
  await assert.rejects(get(), { code: 'ECONNRESET' })
})

test('nothing is kept of connections that are closed', async (t) => {
  const { trial, answers, asked, get } = await http1(t)
  const answer = get({ agent: false, ...trial.caller })
  await asked(1)
  assert.equal(trial.security.connections.size, 1)
  const socket = answers[0]?.socket as TLSSocket
  const closed = once(socket, 'close')
  answers[0]?.end()
  await Promise.all([answer, closed])

  assert.equal(trial.security.connections.size, 0)
})

function fakeConnection(generation: number, leave: () => void) {
  const socket = { once() {}, destroy() {} }
  return { socket, generation, until: Number.POSITIVE_INFINITY, leaving: false, peer: undefined, leave }
}

interface Answered {
  readonly text: string
  readonly connection: string | undefined
  /** Of the server's certificate. */
  readonly serial: string
}

/** A server whose answers a test gives by hand, and a caller with one connection that is kept. */
async function http1(t: TestContext) {
  const trial = trialSecurity(t)
  const answers: ServerResponse[] = []
  let count = 0
  const server = http.createServer((_, response) => {
    count++
    answers.push(response)
    server.emit('asked')
  })
  secureServer(trial.security, server)
  const port = await listenOn(t, server)
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...trial.caller })
  cleanup(t, () => agent.destroy())
  const get = (options: https.RequestOptions = {}) =>
    answered(https.get({ port, host: '127.0.0.1', agent, servername: '', ...options }))
  const asked = async (number: number) => {
    while (count < number) await once(server, 'asked')
  }
  return { trial, answers, asked, get }
}

async function answered(request: http.ClientRequest): Promise<Answered> {
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const serial = (response.socket as TLSSocket).getPeerCertificate().serialNumber
  const text = String(Buffer.concat(await response.toArray()))
  return { text, connection: response.headers.connection, serial }
}

test('rotations under load fail no call, not even those that must not be sent twice', async (t) => {
  const trial = trialSecurity(t)
  const serials = new Set<string>()
  const server = http.createServer((request, response) => void request.resume().on('end', () => response.end('hello')))
  secureServer(trial.security, server)
  const port = await listenOn(t, server)
  const agent = new https.Agent({ keepAlive: true, maxSockets: 8, maxCachedSessions: 0, ...trial.caller })
  cleanup(t, () => agent.destroy())
  const post = async () => {
    const request = https.request({ method: 'POST', port, host: '127.0.0.1', agent, servername: '' })
    request.end('vote')
    const { text, serial } = await answered(request)
    serials.add(serial)
    return text
  }

  const texts = await Promise.all(
    Array.from({ length: 8 }, async (_, caller) => {
      const texts = new Set<string>()
      for (let i = 0; i < 200; i++) {
        texts.add(await post())
        if (caller > 0 || i % 20 > 0) continue
        trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting'))
        trial.clock.advance(5_000)
      }
      return [...texts]
    }),
  )

  assert.deepEqual(new Set(texts.flat()), new Set(['hello']))
  assert.ok(serials.size >= 9, `${serials.size} certificates were seen`)
})

test('close() waits for what is under way and ends idle connections, by TLS too', async (t) => {
  const trial = trialSecurity(t)
  const answers: ServerResponse[] = []
  const server = http.createServer((_, response) => void answers.push(response))
  secureServer(trial.security, server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new https.Agent({ keepAlive: true, ...trial.caller })
  cleanup(t, () => agent.destroy())
  const get = () => answered(https.get({ port, host: '127.0.0.1', agent, servername: '' }))
  const [idle, busy] = [get(), get()]
  while (answers.length < 2) await once(server, 'request')
  answers[0]?.end('idle')
  await idle

  const closed = once(server, 'close')
  server.close()
  answers[1]?.end('busy')

  assert.equal((await busy).text, 'busy')
  server.closeIdleConnections()
  await closed
})
