import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import grpc from '@grpc/grpc-js'
import { inboundOf } from '../../src/server/grpc-inbound.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { answer } from '../support/grpc-engine.ts'
import type { Question } from '../support/grpc-trial.ts'
import { failure, serveGrpc } from './support/grpc-serving.ts'
import { EMPTY_MESSAGE, rawGrpcClient } from './support/raw-grpc-client.ts'

/** Of HTTP/2. */
const CANCEL = 8
const ASK = '/inmesh.trial.Trial/Ask'

/** A server that tells what it read of a call; `ok` when others are still served. */
async function reading(t: Parameters<typeof serveGrpc>[0]) {
  const read: { attempt: number; caller: string; remainingMs: number }[] = []
  const ask: grpc.handleUnaryCall<Question, object> = (call, callback) => {
    const { attempt = 0, caller = '', remainingMs = 0 } = inboundOf(call) ?? {}
    read.push({ attempt, caller, remainingMs })
    callback(null, {})
  }
  const serving = await serveGrpc(t, { handlers: { ask } })
  return { ...serving, read, raw: rawGrpcClient(t, serving.port) }
}

describe('metadata that is hostile', () => {
  test('says nothing of the attempt', async (t) => {
    const { read, raw, seen } = await reading(t)
    const values = ['-1', '1e3', '9999999999', 'x', '', '0', '998', '1, 1', ['1', '2']]

    for (const value of values) {
      assert.equal(await raw.code(raw.call(ASK, { 'grpc-previous-rpc-attempts': value }, EMPTY_MESSAGE)), 0)
    }
    await seen.whenEnded(values.length)

    assert.deepEqual(
      read.map(({ attempt }) => attempt),
      [1, 1, 1, 1, 1, 1, 999, 1, 1],
    )
  })

  test('says nothing of the caller', async (t) => {
    const { read, raw } = await reading(t)
    const values = ['a b', 'x'.repeat(200), ['web', 'web'], '<script>', 'web']

    for (const value of values) {
      await raw.code(raw.call(ASK, { 'x-envoy-downstream-service-cluster': value }, EMPTY_MESSAGE))
    }

    assert.deepEqual(
      read.map(({ caller }) => caller),
      ['', '', '', '', 'web'],
    )
  })

  test('in place of a deadline is answered as grpc-js answers it, and counted', async (t) => {
    const { raw, seen, client, mesh } = await reading(t)
    const values = ['text', '-1S', '123456789m', '1', '99999999H', '0m', '1n', '', '１S']

    for (const value of values) await raw.code(raw.call(ASK, { 'grpc-timeout': value }, EMPTY_MESSAGE))
    await seen.whenEnded(values.length)

    assert.equal(mesh.inbound.inFlight, 0)
    await answer((done) => client.ask({}, done))
  })

  test('in a thousand fields resets the call at most, and others are served', async (t) => {
    const { raw, seen, client, mesh } = await reading(t)
    const many = Array.from({ length: 1_000 }, () => '1')

    await raw.code(raw.call(ASK, { 'grpc-previous-rpc-attempts': many, 'x-envoy-attempt-count': many }, EMPTY_MESSAGE))
    await answer((done) => client.ask({}, done))
    await seen.whenEnded(1)

    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('of a hundred fields that count attempts says nothing', async (t) => {
    const { raw, read, seen } = await reading(t)
    const many = Array.from({ length: 100 }, () => '7')

    await raw.code(raw.call(ASK, { 'x-envoy-attempt-count': many }, EMPTY_MESSAGE))
    await seen.whenEnded(1)

    assert.equal(read[0]?.attempt, 1)
  })

  test('of more than the server takes breaks the call off, and others are served', async (t) => {
    const { raw, client, mesh } = await reading(t)

    await raw.code(raw.call(ASK, { 'x-large': 'x'.repeat(200_000) }, EMPTY_MESSAGE))
    await answer((done) => client.ask({}, done))

    assert.equal(mesh.inbound.inFlight, 0)
  })
})

describe('a message that is hostile', () => {
  const bodies: Readonly<Record<string, readonly [Buffer, RegExp]>> = {
    'no protocol buffer': [Buffer.from([0, 0, 0, 0, 2, 0xff, 0xff]), /^ended 13 broken_off/],
    'longer than the server takes': [Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]), /^ended 8 broken_off/],
    'compressed in no known way': [Buffer.from([1, 0, 0, 0, 1, 0]), /^ended \d+ /],
    'cut short': [Buffer.from([0, 0, 0, 0, 9, 1]), /^ended 12 /],
    'not there': [Buffer.alloc(0), /^ended 12 /],
    'followed by another': [Buffer.alloc(10), /^ended 12 /],
  }
  for (const [what, [body, ending]] of Object.entries(bodies)) {
    test(`(${what}) ends its call, never reaches the handler twice, and others are served`, async (t) => {
      const { raw, seen, client, read, mesh } = await reading(t)

      await raw.code(raw.call(ASK, {}, body))
      await seen.whenEnded(1)

      assert.match(seen.endings[0] ?? '', ending)
      assert.ok(read.length <= 1)
      await answer((done) => client.ask({}, done))
      assert.ok(mesh.inbound.inFlight <= 1)
    })
  }
})

describe('a client', () => {
  test('that sends half a message and leaves holds nothing', async (t) => {
    const { raw, seen, mesh } = await reading(t)
    const stream = raw.call(ASK)
    stream.write(Buffer.from([0, 0, 0]))
    while (mesh.inbound.inFlight === 0) await turn()

    raw.session.destroy()
    await seen.whenEnded(1)

    assert.deepEqual(seen.endings, [`ended 1 cancelled ${ASK}`])
  })

  test('that never reads an endless answer holds one call, until it leaves', async (t) => {
    const spread: grpc.handleServerStreamingCall<object, object> = (call) => {
      const write = (): void => {
        while (call.write({ body: Buffer.alloc(16_384) }));
        call.once('drain', write)
      }
      write()
    }
    const { client, connect, seen, mesh } = await serveGrpc(t, { handlers: { spread } })
    const endless = connect().spread({ bytes: [] })
    endless.on('error', () => {})
    await once(endless, 'metadata')

    await answer((done) => client.ask({}, done))
    assert.equal(mesh.inbound.inFlight >= 1, true)
    endless.cancel()
    await seen.whenEnded(2)

    assert.equal(mesh.inbound.inFlight, 0)
  })

  test('that resets ten thousand streams leaves nothing in flight, and others are served', async (t) => {
    const admissions = [concurrencyLimit({ limit: fixedLimit({ requests: 1_000 }) })]
    const handlers = { ask: () => {} }
    const { port, client, mesh, seen } = await serveGrpc(t, { handlers, inbound: { admissions } })

    for (let left = 10_000; left > 0; left -= 500) {
      // one connection that resets too many is hung up on by nghttp2
      const raw = rawGrpcClient(t, port)
      const streams = Array.from({ length: 500 }, () => raw.call(ASK, {}, EMPTY_MESSAGE))
      const closed = streams.map((stream) => once(stream, 'close'))
      await turn()
      for (const stream of streams) stream.close(CANCEL)
      await Promise.all(closed)
      raw.session.destroy()
      await answer((done) => client.empty({}, done))
    }
    await new Promise<void>((resolve) => mesh.inbound.whenIdle(resolve))

    const started = seen.lines.filter((line) => line.startsWith('started')).length
    const cancelled = seen.endings.filter((line) => line.includes('cancelled')).length
    assert.equal(seen.endings.length, started)
    assert.ok(cancelled > 100, `${cancelled} of ${started}`)
  })

  test('that asks for what is no gRPC is not counted', async (t) => {
    const { raw, seen } = await reading(t)
    const stream = raw.call('/index.html', { 'content-type': 'text/html' }, Buffer.alloc(0))

    const [headers] = await once(stream, 'response')

    assert.equal(headers[':status'], 415)
    assert.deepEqual(seen.lines, [])
  })
})

test('an answer that is too large for the server fails its call alone', async (t) => {
  const { client, seen } = await serveGrpc(t, { options: { 'grpc.max_send_message_length': 100 } })

  const { code } = await failure(answer((done) => client.ask({ answerBytes: 1_000 }, done)))
  await seen.whenEnded(1)

  assert.equal(code, grpc.status.RESOURCE_EXHAUSTED)
  assert.deepEqual(seen.endings, [`ended 8 broken_off ${ASK}`])
})
