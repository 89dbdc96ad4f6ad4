import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import grpc from '@grpc/grpc-js'
import { ChannelCredentials, createClient, createClientFactory, Metadata } from 'nice-grpc'
import { grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { REFUSED_PORT, until } from '../support/engine.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveFrames, serveGrpc, serveGrpcs } from '../support/grpc-servers.ts'
import { type Answer, Trial } from '../support/grpc-trial.ts'
import { cleanup, testCertificate } from '../support/servers.ts'
import { turns } from '../support/turns.ts'

const { connectivityState: State } = grpc
const ask = (client: { ask: InstanceType<typeof Trial>['ask'] }) => answer<Answer>((done) => client.ask({}, done))

describe('a meshed client', () => {
  test('spreads its calls over the endpoints, one by one', async (t) => {
    const servers = await serveGrpcs(t, 'abc')
    const { client } = grpcEngine(t, { addresses: servers, balancer: turns })
    const meshed = client()

    const names = []
    for (let i = 0; i < 9; i++) names.push((await ask(meshed)).server)

    assert.equal(names.join(''), 'abcabcabc')
  })

  test('sends to a new endpoint at once, and no more to one that left', async (t) => {
    const [a, b, c] = await serveGrpcs(t, 'abc')
    const { client, update } = grpcEngine(t, { addresses: [a, b] as never, balancer: turns })
    const meshed = client()
    await ask(meshed)
    await ask(meshed)

    update([b, c] as never)
    const names = [(await ask(meshed)).server, (await ask(meshed)).server]

    assert.deepEqual(names.sort(), ['b', 'c'])
  })

  test('finishes a call whose endpoint leaves meanwhile', async (t) => {
    const [a, b] = await serveGrpcs(t, 'ab')
    const { client, update } = grpcEngine(t, { addresses: [a] as never })
    const call = client().converse()
    call.write({ answerBytes: 1 })
    await once(call, 'data')

    update([b] as never)
    call.write({ answerBytes: 2 })
    const [last] = await once(call, 'data')
    call.end()

    assert.equal(last.server, 'a')
    assert.equal((await once(call, 'status'))[0].code, grpc.status.OK)
  })

  test('waits for the first endpoint', async (t) => {
    const server = await serveGrpc(t)
    const { client, update } = grpcEngine(t, { addresses: [] })

    const got = ask(client())
    update([server])

    assert.equal((await got).server, 'a')
  })

  test('names the peer, and before that where it is going', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [server] })

    const call = client().converse()
    assert.equal(call.getPeer(), `ipv4:127.0.0.1:${server.port}`)
    call.write({})
    await once(call, 'data')
    assert.equal(call.getPeer(), `127.0.0.1:${server.port}`)
    call.end()
    await once(call, 'status')
  })

  test('is one of several that share connections', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [server] })

    assert.deepEqual([(await ask(client())).server, (await ask(client())).server], ['a', 'a'])
  })

  test('shows the server the service as authority, and trusts its certificate for it', async (t) => {
    let host = ''
    const { key, cert } = testCertificate
    const credentials = grpc.ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }])
    const server = await serveGrpc(t, {
      credentials,
      handlers: {
        ask: ((call, callback) => {
          host = call.getHost()
          callback(null, {})
        }) as grpc.handleUnaryCall<object, object>,
      },
    })
    const { client } = grpcEngine(t, { addresses: [server] })

    await ask(client({ credentials: grpc.credentials.createSsl(Buffer.from(cert)) }))

    assert.equal(host, 'voting:8080')
  })

  test('takes call credentials of the channel and of the call', async (t) => {
    const { key, cert } = testCertificate
    const server = await serveGrpc(t, {
      credentials: grpc.ServerCredentials.createSsl(null, [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }]),
    })
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })
    const token = (name: string) =>
      grpc.credentials.createFromMetadataGenerator((_params, done) => {
        const metadata = new grpc.Metadata()
        metadata.set(name, 'secret')
        done(null, metadata)
      })
    const channel = grpc.credentials.combineChannelCredentials(grpc.credentials.createSsl(Buffer.from(cert)), token('x-channel'))

    await answer((done) => client({ credentials: channel }).ask({}, { credentials: token('x-call') }, done))

    assert.deepEqual(server.metadata[0]?.get('x-channel'), ['secret'])
    assert.deepEqual(server.metadata[0]?.get('x-call'), ['secret'])
  })

  test('compresses when it is told to', async (t) => {
    const encodings: unknown[] = []
    const answering = await serveFrames(t, (stream, headers) => {
      encodings.push(headers['grpc-encoding'])
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true })
    })
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [answering, server], balancer: turns })
    const meshed = client({ 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip })

    await assert.rejects(ask(meshed), { code: grpc.status.NOT_FOUND })
    const { body } = await answer<Answer>((done) => meshed.ask({ body: Buffer.alloc(10_000), answerBytes: 10_000 }, done))

    assert.deepEqual(encodings, ['gzip'])
    assert.equal(body.length, 10_000)
  })

  test('keeps to its message sizes, without blame for the endpoint', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch } = grpcEngine(t, { addresses: [server] })
    const meshed = client({ 'grpc.max_send_message_length': 1_000, 'grpc.max_receive_message_length': 1_000 })

    await assert.rejects(
      answer((done) => meshed.ask({ body: Buffer.alloc(2_000) }, done)),
      {
        code: grpc.status.RESOURCE_EXHAUSTED,
        details: 'Attempted to send message with a size larger than 1000',
      },
    )
    assert.notEqual(watch.last.reason, 'overloaded')
    await assert.rejects(
      answer((done) => meshed.ask({ answerBytes: 2_000 }, done)),
      { code: grpc.status.RESOURCE_EXHAUSTED },
    )
    assert.notEqual(watch.last.reason, 'overloaded')
  })

  test('lets a fast writer wait for a slow reader', async (t) => {
    let resume = (): void => {}
    const server = await serveGrpc(t, {
      handlers: {
        collect: ((call, callback) => {
          let bytes = 0
          call.pause()
          resume = () => call.resume()
          call.on('data', ({ body }) => {
            bytes += body.length
          })
          call.pause()
          call.on('end', () => callback(null, { bytes }))
        }) as grpc.handleClientStreamingCall<{ body: Buffer }, object>,
      },
    })
    const { client } = grpcEngine(t, { addresses: [server] })
    const chunk = Buffer.alloc(100_000)
    let written = 0

    const total = answer<{ bytes: number }>(async (done) => {
      const call = client().collect(done)
      const write = (left: number): void => {
        if (left === 0) return void call.end()
        call.write({ body: chunk }, () => {
          written++
          write(left - 1)
        })
      }
      write(100)
    })
    await until(() => server.calls.collect === 1)
    for (let i = 0; i < 50; i++) await new Promise<void>((resolve) => setImmediate(resolve))
    const stuck = written
    resume()

    assert.deepEqual(await total, { bytes: 10_000_000 })
    assert.ok(stuck < 60, `${stuck} of 100 messages were taken while nobody read`)
  })

  test('lets interceptors of the application see its calls', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })
    let calls = 0
    const interceptor: grpc.Interceptor = (options, next) => {
      calls++
      return new grpc.InterceptingCall(next(options))
    }

    await ask(client({ interceptors: [interceptor] }))

    assert.equal(calls, 1)
  })
})

describe('a target that is not ours', () => {
  test('gets grpc-js’s own channel, and is counted', async (t) => {
    const server = await serveGrpc(t)
    const { client, watch, egress } = grpcEngine(t, { addresses: [] })
    const outside = client({ target: `127.0.0.1:${server.port}` })

    assert.equal((await ask(outside)).server, 'a')
    assert.equal((await ask(outside)).server, 'a')

    assert.ok(outside.getChannel() instanceof grpc.Channel)
    assert.deepEqual(egress, Array(2).fill(`http://127.0.0.1:${server.port}`))
    assert.deepEqual(watch.calls, [])
  })

  test('gets it with a scheme of its own, too', async (t) => {
    const server = await serveGrpc(t)
    const { client, egress } = grpcEngine(t, { addresses: [] })

    assert.equal((await ask(client({ target: `ipv4:127.0.0.1:${server.port}` }))).server, 'a')
    assert.deepEqual(egress, [`ipv4:127.0.0.1:${server.port}`])
  })

  test('gets grpc-js’s own errors', (t) => {
    const { door } = grpcEngine(t, { addresses: [] })
    const { channelFactoryOverride } = grpcClientOptions(door)

    assert.throws(() => channelFactoryOverride(5 as never, grpc.credentials.createInsecure()), TypeError)
    assert.throws(() => channelFactoryOverride('voting:8080', {} as never), TypeError)
  })
})

describe('a channel’s state', () => {
  test('is ready as soon as one endpoint is', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT, server] })
    const meshed = client()
    assert.equal(meshed.getChannel().getConnectivityState(false), State.IDLE)

    await ready(meshed)

    assert.equal(meshed.getChannel().getConnectivityState(false), State.READY)
  })

  test('is connecting while there is no endpoint', async (t) => {
    const server = await serveGrpc(t)
    const { client, update } = grpcEngine(t, { addresses: [] })
    const meshed = client()

    const became = ready(meshed)
    await until(() => meshed.getChannel().getConnectivityState(false) === State.CONNECTING)
    update([server])

    await became
  })

  test('is failing while all do', async (t) => {
    const { client } = grpcEngine(t, { addresses: [REFUSED_PORT] })
    const meshed = client()

    await assert.rejects(ready(meshed, 30))
    assert.equal(meshed.getChannel().getConnectivityState(false), State.TRANSIENT_FAILURE)
  })

  test('is not waited for beyond the deadline', async (t) => {
    const { client } = grpcEngine(t, { addresses: [] })
    const channel = client().getChannel()

    for (const deadline of [Date.now() + 10, new Date(0), Number.NEGATIVE_INFINITY]) {
      const error = await new Promise((resolve) => channel.watchConnectivityState(State.IDLE, deadline, resolve))
      assert.match(String(error), /Deadline passed without connectivity state change/)
    }
  })
})

describe('a closed client', () => {
  test('finishes the call that is under way, and takes no other', async (t) => {
    const server = await serveGrpc(t)
    const { client } = grpcEngine(t, { addresses: [server] })
    const meshed = client()
    const call = meshed.converse()
    call.write({ answerBytes: 1 })
    await once(call, 'data')

    meshed.close()
    assert.throws(() => meshed.ask({}, () => {}), /Channel has been shut down/)
    assert.throws(() => meshed.getChannel().watchConnectivityState(State.IDLE, 0, () => {}), /Channel has been shut down/)
    assert.equal(meshed.getChannel().getConnectivityState(true), State.SHUTDOWN)
    call.end()

    assert.equal((await once(call, 'status'))[0].code, grpc.status.OK)
  })

  test('ends a call that waits', async (t) => {
    const { client } = grpcEngine(t, { addresses: [] })
    const meshed = client()

    const failed = ask(meshed)
    await new Promise<void>((resolve) => setImmediate(resolve))
    meshed.close()

    await assert.rejects(failed, { code: grpc.status.UNAVAILABLE, details: 'Channel closed before call started' })
  })
})

describe('a closed mesh', () => {
  test('finishes what is in flight, refuses the rest and closes every channel', async (t) => {
    const server = await serveGrpc(t)
    const { client, door } = grpcEngine(t, { addresses: [server] })
    const meshed = client()
    const call = meshed.converse()
    call.write({ answerBytes: 1 })
    await once(call, 'data')

    const closed = door.close()
    await assert.rejects(ask(meshed), { code: grpc.status.UNAVAILABLE, details: 'mesh is closed' })
    assert.equal(meshed.getChannel().getConnectivityState(true), State.READY)
    call.end()
    await once(call, 'status')
    await closed

    assert.equal(meshed.getChannel().getConnectivityState(false), State.SHUTDOWN)
    await door.close()
  })

  test('does not hold the process, nor does one that is forgotten', async () => {
    const program = join(import.meta.dirname, '..', 'support', 'grpc-short-life.ts')
    const run = promisify(execFile)

    const ends = await Promise.all(['closed', 'open'].map((how) => run(process.execPath, [program, how])))

    assert.deepEqual(
      ends.map(({ stdout }) => stdout),
      ['called\n', 'called\n'],
    )
  })
})

describe('nice-grpc', () => {
  test('comes through the same door by a channel', async (t) => {
    const servers = await serveGrpcs(t, 'ab')
    const { door, watch } = grpcEngine(t, { addresses: servers, balancer: turns })
    const channel = grpcClientOptions(door).channelFactoryOverride('voting:8080', ChannelCredentials.createInsecure())
    cleanup(t, () => channel.close())
    const plain = createClient(Trial.service as never, channel as grpc.Channel) as Record<
      string,
      (...rest: unknown[]) => Promise<Answer>
    >
    const made = createClientFactory().create(Trial.service as never, channel as grpc.Channel) as typeof plain

    const one = await plain.Ask?.({ answerBytes: 3 }, { metadata: Metadata({ 'x-a': 'b' }) })
    const other = await made.Ask?.({})

    assert.deepEqual([one?.server, one?.body.length, other?.server], ['a', 3, 'b'])
    assert.equal(watch.calls.length, 2)
  })
})

/** Resolves once the client has a connection; rejects when it has none after `withinMs`. */
function ready(client: grpc.Client, withinMs = 30_000): Promise<void> {
  return new Promise((resolve, reject) =>
    client.waitForReady(Date.now() + withinMs, (error) => (error ? reject(error) : resolve())),
  )
}
