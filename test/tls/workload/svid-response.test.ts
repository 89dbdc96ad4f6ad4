import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import fc from 'fast-check'
import { readSvidResponse } from '../../../src/tls/workload/svid-response.ts'

const { service } = (
  grpc.loadPackageDefinition(loadSync(join(import.meta.dirname, '../../support/workload-api.proto'))) as unknown as {
    SpiffeWorkloadAPI: { service: { FetchX509SVID: grpc.MethodDefinition<object, object> } }
  }
).SpiffeWorkloadAPI
const encode = (message: object) => service.FetchX509SVID.responseSerialize(message)

const SVID = {
  spiffeId: 'spiffe://a/b',
  x509Svid: Buffer.from('chain'),
  x509SvidKey: Buffer.from('key'),
  bundle: Buffer.from('ca'),
}

test('reads what a protocol buffer library has written', () => {
  const message = encode({
    svids: [{ ...SVID, hint: 'internal' }, SVID],
    crl: [Buffer.from('list')],
    federatedBundles: { 'spiffe://b': Buffer.from('one'), 'spiffe://c': Buffer.from('two') },
  })

  const svid = { spiffeId: 'spiffe://a/b', chain: SVID.x509Svid, key: SVID.x509SvidKey, bundle: SVID.bundle }
  assert.deepEqual(readSvidResponse(message), {
    svids: [
      { ...svid, hint: 'internal' },
      { ...svid, hint: '' },
    ],
    federated: new Map([
      ['spiffe://b', Buffer.from('one')],
      ['spiffe://c', Buffer.from('two')],
    ]),
  })
})

test('reads a message without fields', () => {
  assert.deepEqual(readSvidResponse(Buffer.alloc(0)), { svids: [], federated: new Map() })
  assert.deepEqual(readSvidResponse(Buffer.from([0x0a, 0])), {
    svids: [{ spiffeId: '', chain: Buffer.alloc(0), key: Buffer.alloc(0), bundle: Buffer.alloc(0), hint: '' }],
    federated: new Map(),
  })
})

test('skips the fields that it does not know', () => {
  const unknown = Buffer.from([0x20, 0x96, 0x01, 0x2a, 0x02, 0x01, 0x02, 0x35, 1, 2, 3, 4, 0x39, 1, 2, 3, 4, 5, 6, 7, 8])

  assert.deepEqual(
    readSvidResponse(Buffer.concat([unknown, encode({ svids: [SVID] })])),
    readSvidResponse(encode({ svids: [SVID] })),
  )
})

for (const [behaviour, bytes] of [
  ['half of it', encode({ svids: [SVID] }).subarray(0, -1)],
  ['a number in the place of an SVID', Buffer.from([0x0d, 1, 2, 3, 4])],
  ['a number in the place of a text', Buffer.from([0x0a, 5, 0x0d, 1, 2, 3, 4])],
  ['a length beyond the end', Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f])],
  ['a length without end', Buffer.alloc(12, 0xff)],
  ['a group', Buffer.from([0x0b, 0x0c])],
  ['more SVIDs than anybody has', Buffer.alloc(20_002, Buffer.from([0x0a, 0]))],
] as const) {
  test(`refuses ${behaviour}`, () => assert.equal(readSvidResponse(bytes), undefined))
}

test('never throws on any bytes', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void readSvidResponse(Buffer.from(bytes))))
})

test('never throws on a message with one wrong byte', () => {
  const message = encode({ svids: [SVID], federatedBundles: { 'spiffe://b': Buffer.from('one') } })
  fc.assert(
    fc.property(fc.nat(message.length - 1), fc.nat(255), (at, byte) => {
      const wrong = Buffer.from(message)
      wrong[at] = byte
      readSvidResponse(wrong)
    }),
  )
})
