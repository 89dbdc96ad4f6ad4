import assert from 'node:assert/strict'
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type ServerStreamCall, StreamEnded, serverStream } from '../../../src/tls/workload/server-stream.ts'
import { settle, virtualRuntime } from '../../support/virtual-time.ts'

const HEAD = { ':status': 200, 'content-type': 'application/grpc' }
/** A message of one byte, with its prefix. */
const MESSAGE = Buffer.from([0, 0, 0, 0, 1, 42])

/** A server that does what a test says with each stream, and a call to it. */
async function setUp(t: TestContext, serve: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void) {
  const server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session.on('error', () => {})))
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    serve(stream, headers)
  })
  return { sessions, server, ...(await callTo(t, server, () => destroyAll(sessions))) }
}

async function callTo(
  t: TestContext,
  server: Server | Http2Server,
  disconnect: () => void,
  change: Partial<ServerStreamCall> = {},
) {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    disconnect()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, ...call(t, { endpoint: { uri: `tcp://127.0.0.1:${port}`, connect: { host: '127.0.0.1', port } }, ...change }) }
}

function call(t: TestContext, change: Pick<ServerStreamCall, 'endpoint'> & Partial<ServerStreamCall>) {
  const { clock } = virtualRuntime()
  const stopping = new AbortController()
  const messages: Buffer[] = []
  let ended: StreamEnded | undefined
  const whole = { path: '/Api/Watch', headers: { 'x-test': 'true' }, onMessage: (message: Buffer) => void messages.push(message) }
  const promise = serverStream(clock, { ...whole, ...change }, stopping.signal).catch((error) => {
    ended = error
    return error as StreamEnded
  })
  t.after(() => stopping.abort())
  return { clock, stopping, messages, promise, end: () => ended }
}

function destroyAll(connections: Iterable<{ destroy(): void }>): void {
  for (const connection of connections) connection.destroy()
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; turn < 20_000; turn++) {
    if (condition()) return
    await settle()
  }
  throw new Error('did not come about')
}

test('calls as a gRPC client does, and tells each message', async (t) => {
  let request: IncomingHttpHeaders = {}
  let body: Buffer = Buffer.alloc(0)
  const { messages } = await setUp(t, (stream, headers) => {
    request = headers
    stream.on('data', (piece: Buffer) => {
      body = Buffer.concat([body, piece])
    })
    stream.respond(HEAD)
    stream.write(MESSAGE.subarray(0, 3))
    stream.on('end', () => stream.write(Buffer.concat([MESSAGE.subarray(3), MESSAGE])))
  })

  await until(() => messages.length === 2)

  assert.deepEqual(messages, [Buffer.from([42]), Buffer.from([42])])
  assert.deepEqual(body, Buffer.alloc(5))
  assert.deepEqual(
    [request[':method'], request[':path'], request[':scheme'], request['content-type'], request.te, request['x-test']],
    ['POST', '/Api/Watch', 'http', 'application/grpc', 'trailers', 'true'],
  )
})

for (const [behaviour, trailers, message, status] of [
  ['status of success', { 'grpc-status': '0' }, 'ended the stream', 0],
  [
    'status of failure',
    { 'grpc-status': '7', 'grpc-message': 'no%20identity%0Aissued' },
    'answered PERMISSION_DENIED: no identity issued',
    7,
  ],
  ['status without a text', { 'grpc-status': '14' }, 'answered UNAVAILABLE', 14],
  ['text that is badly encoded', { 'grpc-status': '14', 'grpc-message': '100%' }, 'answered UNAVAILABLE: 100%', 14],
  ['text that is long', { 'grpc-status': '13', 'grpc-message': 'x'.repeat(300) }, `answered INTERNAL: ${'x'.repeat(197)}...`, 13],
  ['status that nobody knows', { 'grpc-status': '99' }, 'answered with an unknown status 99', undefined],
] as const) {
  test(`tells the messages before a ${behaviour}, and then its end`, async (t) => {
    const { promise, messages, clock } = await setUp(t, (stream) => {
      stream.respond(HEAD, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers(trailers))
      stream.end(MESSAGE)
    })

    const error = await promise

    assert.deepEqual([error.message, error.status, messages.length, clock.pending], [message, status, 1, 0])
  })

  test(`tells a ${behaviour} that comes alone`, async (t) => {
    const { promise } = await setUp(t, (stream) => stream.respond({ ...HEAD, ...trailers }, { endStream: true }))

    assert.equal((await promise).message, message)
  })
}

for (const [behaviour, serve, message] of [
  [
    'a web server',
    (s: ServerHttp2Stream) => s.respond({ ':status': 404, 'content-type': 'text/html' }),
    'is no gRPC server: HTTP status 404, text/html',
  ],
  [
    'no content type',
    (s: ServerHttp2Stream) => s.respond({ ':status': 200 }),
    'is no gRPC server: HTTP status 200, no content type',
  ],
  ['a message of 5 MB', answering(Buffer.from([0, 0, 0x50, 0, 0])), 'sent a message of 5242880 bytes, at most 4194304 are taken'],
  ['a compressed message', answering(Buffer.from([1, 0, 0, 0, 0])), 'sent a compressed message, which was not asked for'],
  ['half a message', answering(MESSAGE.subarray(0, 5), true), 'broke off in the middle of a message without a status'],
  ['an end without a status', answering(MESSAGE, true), 'broke off without a status'],
] as const) {
  test(`gives up on ${behaviour}`, async (t) => {
    const { promise, clock } = await setUp(t, serve)

    const error = await promise

    assert.ok(error instanceof StreamEnded)
    assert.deepEqual([error.message, error.status, clock.pending], [message, undefined, 0])
  })
}

function answering(bytes: Buffer, end = false) {
  return (stream: ServerHttp2Stream) => {
    stream.respond(HEAD)
    stream.write(bytes)
    if (end) stream.end()
  }
}

test('gives up on a stream that is reset', async (t) => {
  const { promise } = await setUp(t, (stream) => stream.close(2))

  assert.match((await promise).message, /^the connection broke \(ERR_HTTP2_STREAM_ERROR\)$/)
})

test('gives up when the connection is lost', async (t) => {
  const { promise, messages, sessions } = await setUp(t, answering(MESSAGE))
  await until(() => messages.length === 1)

  for (const session of sessions) session.destroy()

  assert.match((await promise).message, /^(?:closed the connection|broke off without a status|the connection broke \(\w+\))$/)
})

test('gives up on a server that speaks something else', async (t) => {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    socket.write('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  })
  const { promise } = await callTo(t, server, () => destroyAll(sockets))

  assert.match((await promise).message, /^the connection broke \(\w+\)$/)
})

test('gives up on a socket that is not there', async (t) => {
  const { promise } = call(t, { endpoint: { uri: 'unix:///nowhere', connect: { path: '/nowhere/agent.sock' } } })

  const error = await promise

  assert.deepEqual([error.message, (error.cause as NodeJS.ErrnoException).code], ["can't be reached (ENOENT)", 'ENOENT'])
})

test('gives up on a server that takes the connection and never says a word, after 10 s', async (t) => {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => void sockets.add(socket.on('error', () => {})))
  const { promise, clock, end } = await callTo(t, server, () => destroyAll(sockets))
  await until(() => sockets.size === 1)

  await clock.pass(9_999)
  const early = end()
  await clock.pass(1)

  assert.equal(early, undefined)
  assert.equal((await promise).message, 'no answer in 10000 ms')
  assert.equal(clock.pending, 0)
})

test('gives up on a server that never sends more than half a message, the first or a later one', async (t) => {
  const first = await setUp(t, answering(MESSAGE.subarray(0, 5)))
  const later = await setUp(t, answering(Buffer.concat([MESSAGE, MESSAGE.subarray(0, 5)])))
  await until(() => later.messages.length === 1 && first.sessions.size === 1)

  await first.clock.pass(10_000)
  await later.clock.pass(10_000)

  assert.equal((await first.promise).message, 'no answer in 10000 ms')
  assert.equal((await later.promise).message, 'no more than half a message in 10000 ms')
})

test('stays with a quiet server that gives signs of life, and asks seldom enough for any', async (t) => {
  const pings: number[] = []
  const { clock, messages, sessions, end } = await setUp(t, answering(MESSAGE))
  await until(() => messages.length === 1)
  for (const session of sessions) session.on('ping', () => pings.push(clock.now()))

  for (let hour = 1; hour <= 4; hour++) {
    await clock.pass(310_000)
    await until(() => pings.length === hour)
    // Answered after what it was sent before: the sign of life has arrived.
    for (const session of sessions) await new Promise((answered) => session.ping(answered))
  }

  assert.equal(end(), undefined)
  assert.deepEqual(pings, [310_000, 620_000, 930_000, 1_240_000])
})

test('gives up on a server that gives no sign of life', async (t) => {
  let socket: Socket | undefined
  const http2 = createServer()
  http2.on('stream', answering(MESSAGE))
  const server = createTcpServer((accepted) => {
    socket = accepted.on('error', () => {})
    http2.emit('connection', accepted)
  })
  const { clock, messages, promise, end } = await callTo(t, server, () => socket?.destroy())
  await until(() => messages.length === 1)
  // As a process that was stopped: the connection stands and nobody reads.
  ;(socket as unknown as { _handle: { readStop(): void } })._handle.readStop()

  await clock.pass(310_000)
  await clock.pass(19_999)
  const early = end()
  await clock.pass(1)

  assert.equal(early, undefined)
  assert.equal((await promise).message, 'no sign of life in 20000 ms')
})

test('ends with what the receiver of a message throws', async (t) => {
  const server = createServer()
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', answering(MESSAGE))
  const thrown = new Error('unusable')
  const { promise, clock } = await callTo(t, server, () => destroyAll(sessions), {
    onMessage() {
      throw thrown
    },
  })

  assert.equal(await promise, thrown)
  assert.equal(clock.pending, 0)
})

test('ends with the reason of the signal, and leaves nothing', async (t) => {
  const { promise, stopping, messages, clock, sessions } = await setUp(t, answering(MESSAGE))
  await until(() => messages.length === 1)

  stopping.abort(new Error('enough'))
  const error = await promise
  await until(() => [...sessions].every((session) => session.destroyed))

  assert.equal(error.message, 'enough')
  assert.equal(clock.pending, 0)
})
