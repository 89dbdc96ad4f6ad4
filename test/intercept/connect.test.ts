import assert from 'node:assert/strict'
import http from 'node:http'
import http2 from 'node:http2'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { createFileRegistry, create as createMessage, type DescService } from '@bufbuild/protobuf'
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import { Code, ConnectError, type ConnectRouter, createClient, type Transport } from '@connectrpc/connect'
import { createTransport as connectProtocol } from '@connectrpc/connect/protocol-connect'
import { createTransport as grpcProtocol } from '@connectrpc/connect/protocol-grpc'
import { createTransport as grpcWebProtocol } from '@connectrpc/connect/protocol-grpc-web'
import { compressionGzip, connectNodeAdapter, createConnectTransport } from '@connectrpc/connect-node'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh, type Mesh } from '../../src/index.ts'
import { inmeshConnect } from '../../src/intercept/undici/connect.ts'
import { cleanup } from '../support/servers.ts'

interface Word {
  readonly text: string
}
type Words = AsyncIterable<Word>

/** A client of the service below, as generated code would type it. */
interface EchoClient {
  say(word: Word, options?: { signal?: AbortSignal; timeoutMs?: number; onTrailer?: (trailer: Headers) => void }): Promise<Word>
  repeat(word: Word): Words
  join(words: Words): Promise<Word>
  chat(words: Words): Words
}

const Echo = echoService()

const PROTOCOLS: Readonly<Record<string, typeof grpcProtocol>> = {
  gRPC: grpcProtocol,
  Connect: connectProtocol,
  'gRPC-web': grpcWebProtocol,
}

for (const [name, createTransport] of Object.entries(PROTOCOLS)) {
  describe(`a client of Connect-ES that speaks ${name} through the mesh`, () => {
    const clientOf = (mesh: Mesh, options = {}): EchoClient =>
      createClient(
        Echo,
        createTransport({ ...inmeshConnect({ mesh, baseUrl: 'http://echo' }), ...options }) as Transport,
      ) as unknown as EchoClient

    test('makes every kind of call', async (t) => {
      const mesh = meshTo(t, [await echoServer(t)])
      const client = clientOf(mesh, { acceptCompression: [compressionGzip] })
      let trailer: Headers | undefined

      assert.equal((await client.say({ text: 'one' }, { onTrailer: (given) => (trailer = given) })).text, 'one')
      assert.equal(trailer?.get('x-trailer'), 'said')
      assert.deepEqual(await all(client.repeat({ text: 'twice' })), ['twice', 'twice'])
      assert.equal((await client.join(words('a', 'b', 'c'))).text, 'a b c')
      assert.equal(mesh.stats().services[0]?.calls.success, 3)
    })

    test('sends and reads at once in a stream of both directions', async (t) => {
      const mesh = meshTo(t, [await echoServer(t)])
      let answered: () => void = () => {}
      const outgoing = async function* () {
        yield { text: 'first' }
        // the second is sent only once the answer to the first is here
        await new Promise<void>((resolve) => {
          answered = resolve
        })
        yield { text: 'second' }
      }
      const got: string[] = []

      for await (const { text } of clientOf(mesh).chat(outgoing())) {
        got.push(text)
        answered()
      }

      assert.deepEqual(got, ['first', 'second'])
    })

    test('spreads calls over the endpoints', async (t) => {
      const mesh = meshTo(t, [await echoServer(t, 'a'), await echoServer(t, 'b')])
      const client = clientOf(mesh)

      const answers = await Promise.all(Array.from({ length: 40 }, () => client.say({ text: 'who' })))

      assert.deepEqual([...new Set(answers.map(({ text }) => text))].sort(), ['a', 'b'])
    })

    test('sends a call that never reached a server to another endpoint', async (t) => {
      const closed = await echoServer(t)
      await closed.close()
      const mesh = meshTo(t, [closed, await echoServer(t)])
      const client = clientOf(mesh)

      for (let i = 0; i < 10; i++) assert.equal((await client.say({ text: 'here' })).text, 'here')
    })

    test('gets the code of what failed, and why', async (t) => {
      const closed = await echoServer(t)
      await closed.close()
      const unreachable = clientOf(meshTo(t, [closed]))
      const client = clientOf(meshTo(t, [await echoServer(t)]))

      await assert.rejects(
        unreachable.say({ text: 'x' }),
        coded(Code.Unavailable, /echo: \d attempts? failed, last on .*ECONNREFUSED/),
      )
      await assert.rejects(client.say({ text: 'fail' }), coded(Code.FailedPrecondition, /not like this/))
      await assert.rejects(client.say({ text: 'hold' }, { timeoutMs: 50 }), coded(Code.DeadlineExceeded, /./))
      const leaving = new AbortController()
      const call = client.say({ text: 'hold' }, { signal: leaving.signal })
      leaving.abort()
      await assert.rejects(call, coded(Code.Canceled, /./))
    })
  })
}

test('a transport of Connect-ES over HTTP/1.1 takes the agent', async (t) => {
  const mesh = meshTo(t, [await echoServer(t, undefined, http.createServer)], 'http')
  const transport = createConnectTransport({
    baseUrl: 'http://echo',
    httpVersion: '1.1',
    nodeOptions: { agent: mesh.httpAgent as unknown as http.Agent },
  })
  const client = createClient(Echo, transport) as unknown as EchoClient

  assert.equal((await client.say({ text: 'one' })).text, 'one')
  assert.equal(mesh.stats().services[0]?.calls.success, 1)
})

interface EchoServer {
  readonly port: number
  readonly close: () => Promise<void>
}

async function echoServer(t: TestContext, name?: string, create: (listener: never) => unknown = http2.createServer) {
  const say = async ({ text }: Word, context: { signal: AbortSignal; responseTrailer: Headers }): Promise<Word> => {
    if (text === 'fail') throw new ConnectError('not like this', Code.FailedPrecondition)
    if (text === 'hold') await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
    context.responseTrailer.set('x-trailer', 'said')
    return { text: name ?? text }
  }
  const routes = (router: ConnectRouter) =>
    router.service(Echo, {
      say,
      async *repeat(word: Word) {
        yield word
        yield word
      },
      join: async (given: Words) => ({ text: (await all(given)).join(' ') }),
      async *chat(given: Words) {
        yield* given
      },
    } as never)
  const server = create(connectNodeAdapter({ routes }) as never) as http.Server
  const sessions = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => sessions.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async () => {
    if (!server.listening) return
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const session of sessions) session.destroy()
    await closed
  }
  cleanup(t, close)
  return { port: (server.address() as AddressInfo).port, close } satisfies EchoServer
}

function meshTo(t: TestContext, servers: readonly EchoServer[], protocol: 'h2c' | 'http' = 'h2c'): Mesh {
  const addresses = servers.map(({ port }) => `127.0.0.1:${port}`)
  const mesh = createMesh({ services: { echo: { discovery: staticEndpoints(addresses), protocol } } })
  cleanup(t, () => mesh.close())
  return mesh
}

function coded(code: Code, message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof ConnectError)
    assert.equal(error.code, code)
    assert.match(error.rawMessage, message)
    return true
  }
}

async function all(given: Words): Promise<string[]> {
  const texts: string[] = []
  for await (const { text } of given) texts.push(text)
  return texts
}

async function* words(...texts: string[]): Words {
  for (const text of texts) yield { text }
}

/** What a code generator would make of `service Echo { Say, Repeat, Join, Chat }`, all of `message Word { string text = 1; }`. */
function echoService(): DescService {
  const types = { inputType: '.echo.v1.Word', outputType: '.echo.v1.Word' }
  const file = createMessage(FileDescriptorProtoSchema, {
    name: 'echo.proto',
    package: 'echo.v1',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Word',
        field: [
          {
            name: 'text',
            number: 1,
            type: FieldDescriptorProto_Type.STRING,
            label: FieldDescriptorProto_Label.OPTIONAL,
          },
        ],
      },
    ],
    service: [
      {
        name: 'Echo',
        method: [
          { name: 'Say', ...types },
          { name: 'Repeat', ...types, serverStreaming: true },
          { name: 'Join', ...types, clientStreaming: true },
          { name: 'Chat', ...types, clientStreaming: true, serverStreaming: true },
        ],
      },
    ],
  })
  return createFileRegistry(createMessage(FileDescriptorSetSchema, { file: [file] })).getService('echo.v1.Echo') ?? assert.fail()
}
