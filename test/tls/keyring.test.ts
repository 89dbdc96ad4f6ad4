import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, test } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { Identity, IdentityUpdate } from '../../src/core/identity.ts'
import { noTlsObserver } from '../../src/core/tls-observer.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { peerChain } from '../../src/tls/peer-chain.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { HOUR, makeIntermediate, makeLeaf, NOW } from './test-certificates.ts'
import { makeIdentity, TrialSource, trialRoot } from './trial-identities.ts'

const ROOT = trialRoot()
const VOTING = makeIdentity(ROOT, '/ns/emojivoto/sa/voting')

function trial(options: { verifier?: { revocations: Revocations } } = {}) {
  const runtime = virtualRuntime()
  const source = new TrialSource()
  const seen: string[] = []
  const observer = {
    ...noTlsObserver,
    identityChanged: ({ id }: Identity) => void seen.push(id),
    identityFailed: ({ message }: Error) => void seen.push(message),
  }
  return { clock: runtime.clock, source, seen, keyring: new Keyring({ runtime, source: source.factory, observer, ...options }) }
}

describe('a keyring', () => {
  test('does not watch its source until it is used', () => {
    const { keyring, source } = trial()
    assert.equal(source.watched, 0)

    assert.equal(keyring.identity, undefined)

    assert.equal(source.watched, 1)
    keyring.close()
    assert.equal(source.watched, 0)
  })

  test('makes contexts once for each identity', () => {
    const { keyring, source, seen } = trial()
    assert.equal(keyring.clientContext, undefined)

    source.identity(VOTING)
    const { clientContext, serverContext } = keyring

    assert.ok(clientContext)
    assert.equal(keyring.clientContext, clientContext)
    assert.equal(keyring.serverContext, serverContext)
    assert.equal(keyring.generation, 1)
    source.identity(makeIdentity(ROOT, '/ns/emojivoto/sa/voting'))
    assert.notEqual(keyring.clientContext, clientContext)
    assert.equal(keyring.generation, 2)
    assert.deepEqual(seen, [VOTING.id, VOTING.id])
  })

  test('has no identity any more when it has expired, and has one again when a newer comes', () => {
    const { keyring, source, clock } = trial()
    void keyring.identity
    source.identity({ ...VOTING, notAfter: NOW + HOUR })
    clock.advance(HOUR)
    assert.ok(keyring.identity)

    clock.advance(1)

    assert.equal(keyring.identity, undefined)
    assert.equal(keyring.serverContext, undefined)
    assert.equal(keyring.verify([], { role: 'client' }), undefined)
    source.identity(VOTING)
    assert.equal(keyring.identity, VOTING)
  })

  test('keeps the last identity when the source fails, and says why there is no newer one', () => {
    const { keyring, source, seen } = trial()
    void keyring.identity
    source.identity(VOTING)

    source.error('the socket is gone')

    assert.equal(keyring.identity, VOTING)
    assert.equal(keyring.error?.message, 'the socket is gone')
    source.identity(VOTING)
    assert.equal(keyring.error, undefined)
    assert.deepEqual(seen, [VOTING.id, 'the socket is gone', VOTING.id])
  })

  test('keeps the last identity when the next one can not be used', () => {
    const { keyring, source } = trial()
    void keyring.identity
    source.identity(VOTING)

    source.identity({ ...VOTING, key: makeIdentity(ROOT, '/ns/emojivoto/sa/voting').key })

    assert.equal(keyring.identity, VOTING)
    assert.match(keyring.error?.message ?? '', /^spiffe:.*voting: OpenSSL can't use this identity: .*key values mismatch/)
  })

  test('tells a source that throws as an error', () => {
    const runtime = virtualRuntime()
    const source = () => {
      throw new Error('no such folder')
    }
    const keyring = new Keyring({ runtime, source })

    assert.equal(keyring.identity, undefined)

    assert.equal(keyring.error?.message, 'no such folder')
  })
})

describe('who waits for the first identity', () => {
  test('is told it once, at once if it is there', () => {
    const { keyring, source, clock } = trial()
    const told: IdentityUpdate[] = []
    keyring.whenPresent((update) => told.push(update))
    assert.equal(told.length, 0)

    source.identity(VOTING)
    source.identity(VOTING)
    keyring.whenPresent((update) => told.push(update))

    assert.deepEqual(told, [{ identity: VOTING }, { identity: VOTING }])
    assert.equal(clock.pending, 0)
  })

  test('is told what the source says, and the next one at once', () => {
    const { keyring, source } = trial()
    const told: string[] = []
    const tell = (update: IdentityUpdate) => void told.push('error' in update ? update.error.message : update.identity.id)
    keyring.whenPresent(tell)

    source.error('no such file')
    keyring.whenPresent(tell)

    assert.deepEqual(told, ['no such file', 'no such file'])
  })

  test('waits 5 seconds at most', () => {
    const { keyring, clock } = trial()
    const told: IdentityUpdate[] = []
    keyring.whenPresent((update) => told.push(update))

    clock.advance(4_999)
    assert.equal(told.length, 0)
    clock.advance(1)

    assert.match((told[0] as { error: Error }).error.message, /^identity: none came from its source within 5000 ms$/)
    assert.equal(clock.pending, 0)
  })

  test('can give up', () => {
    const { keyring, source, clock } = trial()
    const giveUp = keyring.whenPresent(() => assert.fail('told after it gave up'))

    giveUp()
    source.identity(VOTING)

    assert.equal(clock.pending, 0)
  })

  test('is refused when too many do', () => {
    const { keyring } = trial()
    const told: string[] = []
    for (let i = 0; i < 10_000; i++) keyring.whenPresent(() => {})

    keyring.whenPresent((update) => told.push('error' in update ? update.error.message : ''))

    assert.deepEqual(told, ['identity: 10000 connections already wait for the first one'])
    keyring.close()
  })

  test('is told when the keyring is closed', () => {
    const { keyring, clock } = trial()
    const told: string[] = []
    const tell = (update: IdentityUpdate) => void told.push('error' in update ? update.error.message : '')
    keyring.whenPresent(tell)

    keyring.close()
    keyring.close()
    keyring.whenPresent(tell)

    assert.deepEqual(told, ['identity: the mesh is closed', 'identity: the mesh is closed'])
    assert.equal(clock.pending, 0)
  })
})

describe('a change of identity', () => {
  test('is told to those who listen', () => {
    const { keyring, source } = trial()
    let changes = 0
    const stop = keyring.onChange(() => changes++)

    source.identity(VOTING)
    stop()
    source.identity(VOTING)

    assert.equal(changes, 1)
  })

  test('to a new root believes the peers of both while both are trusted', () => {
    const { keyring, source } = trial()
    const newRoot = trialRoot()
    const chain = (root = ROOT) => [makeLeaf(root, 'spiffe://cluster.local/ns/emojivoto/sa/web').der]
    const isBelieved = (root = ROOT) => 'id' in (keyring.verify(chain(root), { role: 'client' }) ?? {})
    void keyring.identity

    source.identity(VOTING)
    assert.deepEqual([isBelieved(ROOT), isBelieved(newRoot)], [true, false])
    source.identity(makeIdentity(ROOT, '/ns/emojivoto/sa/voting', { trust: [ROOT, newRoot] }))
    assert.deepEqual([isBelieved(ROOT), isBelieved(newRoot)], [true, true])
    source.identity(makeIdentity(newRoot, '/ns/emojivoto/sa/voting'))

    assert.deepEqual([isBelieved(ROOT), isBelieved(newRoot)], [false, true])
  })

  test('keeps the revocations', () => {
    const revocations = new Revocations()
    const { keyring, source } = trial({ verifier: { revocations } })
    const chain = [makeLeaf(ROOT, 'spiffe://cluster.local/ns/emojivoto/sa/web').der]
    void keyring.identity
    source.identity(VOTING)
    source.identity(VOTING)

    revocations.replace({ ids: ['spiffe://cluster.local/ns/emojivoto/sa/web'] })

    assert.equal((keyring.verify(chain, { role: 'client' }) as { rule?: string }).rule, 'revoked')
  })
})

test('the contexts agree on TLS 1.3, and each side reads the whole chain that the other has sent', async () => {
  const { keyring, source } = trial()
  const intermediate = makeIntermediate(ROOT)
  const leaf = makeLeaf(intermediate, VOTING.id)
  void keyring.identity
  source.identity({ ...VOTING, certificates: leaf.pem + intermediate.pem, key: leaf.keyPem })
  const { clientContext, serverContext } = keyring
  assert.ok(clientContext && serverContext)
  const server = createServer({
    SNICallback: (_, done) => done(null, serverContext),
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.listen(0)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }

  const client = connect({ port, secureContext: clientContext, rejectUnauthorized: false, servername: 'voting' })
  const [[inbound]] = (await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')])) as unknown as [
    TLSSocket[],
  ]

  assert.equal(client.getProtocol(), 'TLSv1.3')
  for (const socket of [client, inbound as TLSSocket]) {
    assert.deepEqual(peerChain(socket).map(Buffer.from), [leaf.der, intermediate.der])
  }
  client.destroy()
  server.close()
  keyring.close()
})
