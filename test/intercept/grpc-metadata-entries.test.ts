import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import fc from 'fast-check'
import { firstValue, isEmpty } from '../../src/intercept/grpc/metadata-entries.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'

const names = fc.constantFrom('a', 'x-one', 'x-two', 'load-bin')
const entries = fc.array(fc.tuple(names, fc.stringMatching(/^[ -~]{0,8}$/)))

describe('what a metadata holds', () => {
  test('is found as get finds it, wherever grpc-js keeps it', () => {
    fc.assert(
      fc.property(entries, names, (list, name) => {
        const metadata = metadataOf(list)

        assert.deepEqual(firstValue(metadata, name), metadata.get(name)[0])
        assert.deepEqual(firstValue(keptElsewhere(metadata), name), metadata.get(name)[0])
        assert.equal(isEmpty(metadata), list.length === 0)
        assert.equal(isEmpty(keptElsewhere(metadata)), list.length === 0)
      }),
    )
  })

  test('is not nothing when there is but an option', () => {
    assert.equal(isEmpty(new grpc.Metadata()), true)
    assert.equal(isEmpty(new grpc.Metadata({ waitForReady: true })), false)
    assert.equal(isEmpty(new grpc.Metadata({ idempotentRequest: false })), false)
  })
})

test('calls with nothing to say share what they send, and none sees what another added', async (t) => {
  const server = await serveGrpc(t)
  const { client } = grpcEngine(t, { addresses: [server] })
  const voter = client()
  const metadata = new grpc.Metadata()

  await answer((done) => voter.ask({}, metadata, done))
  metadata.set('x-vote', 'dango')
  await answer((done) => voter.ask({}, metadata, done))
  metadata.remove('x-vote')
  await answer((done) => voter.ask({}, metadata, done))

  assert.deepEqual(
    server.metadata.map((received) => received.get('x-vote')),
    [[], ['dango'], []],
  )
})

function metadataOf(list: readonly (readonly [string, string])[]): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [name, value] of list) metadata.add(name, name.endsWith('-bin') ? Buffer.from(value) : value)
  return metadata
}

/** As of a grpc-js that has changed where it keeps the values. */
function keptElsewhere(metadata: grpc.Metadata): grpc.Metadata {
  return {
    get: (name: string) => metadata.get(name),
    getMap: () => metadata.getMap(),
    getOptions: () => metadata.getOptions(),
  } as grpc.Metadata
}
