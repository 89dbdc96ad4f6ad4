import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GrpcMessages } from '../../../src/tls/workload/grpc-messages.ts'

/** A message with its prefix. */
function framed(message: Uint8Array, compressed = 0): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

test('puts messages together however they are cut', () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 })
  fc.assert(
    fc.property(messages, fc.array(fc.integer({ min: 1, max: 20 })), (sent, cuts) => {
      const bytes = Buffer.concat(sent.map((message) => framed(message)))
      const got: Buffer[] = []
      const reader = new GrpcMessages(100)
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        reader.push(bytes.subarray(at, at + cut), (message) => got.push(message))
        at += cut
      }

      assert.deepEqual(
        got.map((message) => [...message]),
        sent.map((message) => [...message]),
      )
      assert.equal(reader.inside, false)
    }),
  )
})

test('knows that it is inside a message', () => {
  const reader = new GrpcMessages(100)

  for (const byte of framed(Buffer.from('ab')).subarray(0, 6)) {
    reader.push(Buffer.from([byte]), () => assert.fail('told half a message'))
    assert.equal(reader.inside, true)
  }
})

test('refuses a message that is too long by its prefix alone', () => {
  const reader = new GrpcMessages(10)

  assert.throws(() => reader.push(framed(Buffer.alloc(11)).subarray(0, 5), () => {}), {
    message: 'sent a message of 11 bytes, at most 10 are taken',
  })
})

test('refuses a compressed message', () => {
  assert.throws(() => new GrpcMessages(10).push(framed(Buffer.alloc(1), 1), () => {}), {
    message: 'sent a compressed message, which was not asked for',
  })
})
