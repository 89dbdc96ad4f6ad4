import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import tls, { type TLSSocket } from 'node:tls'
import type { Identity } from '../../src/core/identity.ts'
import { identityOf } from '../../src/tls/identity-of.ts'
import { issueIntermediate, issueLeaf, issueRoot, makeKey } from '../../src/tls/issue.ts'
import { peerChain } from '../../src/tls/peer-chain.ts'
import { type PeerQuestion, Verifier } from '../../src/tls/verify.ts'
import { type Made, make, makeIntermediate, makeLeaf, makeRoot, NOW } from './test-certificates.ts'

const WEB = 'spiffe://mesh.test/ns/default/sa/web'
const VOTING = 'spiffe://mesh.test/ns/default/sa/voting'

describe('over a real connection of TLS 1.3', () => {
  test('both ends learn each other\u2019s identity by certificates that were issued here', async (t) => {
    const issuer = await makeIssuer()
    const [web, voting] = [await issuer.identity(WEB), await issuer.identity(VOTING)]

    const { client, server } = await handshake(t, web, voting)

    assert.equal(client.getProtocol(), 'TLSv1.3')
    assert.equal(verified(client, web, { role: 'server', ids: [VOTING] }), VOTING)
    assert.equal(verified(server, voting, { role: 'client' }), WEB)
  })

  test('a chain through an intermediate arrives whole on both sides', async (t) => {
    const issuer = await makeIssuer()
    const [web, voting] = [await issuer.identity(WEB), await issuer.identity(VOTING)]

    const { client, server } = await handshake(t, web, voting)

    assert.equal(peerChain(client).length, 2)
    assert.equal(peerChain(server).length, 2)
  })

  test('an identity of another CA is refused on both sides', async (t) => {
    const web = await (await makeIssuer()).identity(WEB)
    const stranger = await (await makeIssuer()).identity(VOTING)

    const { client, server } = await handshake(t, web, stranger)

    assert.match(verified(client, web, { role: 'server' }), /^untrusted|^signature/)
    assert.match(verified(server, stranger, { role: 'client' }), /^untrusted|^signature/)
  })

  test('another identity than the one that was asked for is refused', async (t) => {
    const issuer = await makeIssuer()
    const [web, voting] = [await issuer.identity(WEB), await issuer.identity(VOTING)]

    const { client } = await handshake(t, web, voting)

    assert.match(verified(client, web, { role: 'server', ids: [WEB] }), /^not-allowed/)
  })

  test('a client that shows nothing is refused', async (t) => {
    const issuer = await makeIssuer()
    const voting = await issuer.identity(VOTING)

    const { server } = await handshake(t, undefined, voting)

    assert.match(verified(server, voting, { role: 'client' }), /^chain/)
  })

  test('certificates that others have made shake hands', async (t) => {
    const root = makeRoot()
    const intermediate = makeIntermediate(root)
    const leaf = makeLeaf(intermediate, WEB)
    const identity = identityOf({
      from: 'test',
      certificates: leaf.pem + intermediate.pem,
      key: leaf.keyPem,
      trust: { 'mesh.test': [root.pem] },
      now: NOW,
    })

    const { client } = await handshake(t, identity, identity)

    assert.equal(verified(client, identity, { role: 'server', now: NOW }), WEB)
  })

  test('a certificate of version 1, which Node takes, is refused', async (t) => {
    const root = makeRoot()
    const bare = make({ issuer: root, version: null })
    const issuer = await makeIssuer()
    const web = await issuer.identity(WEB)

    const { client } = await handshake(t, web, asIdentity(bare, root))

    assert.match(
      verified(client, { ...web, trust: { 'mesh.test': [root.pem] } }, { role: 'server', now: NOW }),
      /^key-usage|^version/,
    )
  })
})

/** A CA of two levels, at the machine's own time. */
async function makeIssuer() {
  const [rootKey, key] = [makeKey(), makeKey()]
  const now = Date.now()
  const ca = { trustDomain: 'mesh.test', now, lifeMs: 3_600_000 }
  const root = await issueRoot(rootKey, { ...ca, name: 'root' })
  const issuing = await issueIntermediate(
    { certificate: root, key: rootKey },
    { ...ca, name: 'issuing', publicKey: createPublicKey(key) },
  )
  return {
    async identity(id: string): Promise<Identity> {
      const leafKey = makeKey()
      const leaf = await issueLeaf({ certificate: issuing, key }, { id, publicKey: createPublicKey(leafKey), now })
      const keyPem = leafKey.export({ type: 'pkcs8', format: 'pem' }) as string
      return identityOf({ from: 'test', certificates: leaf + issuing, key: keyPem, trust: { 'mesh.test': [root] }, now })
    },
  }
}

/** One that no source would give. */
function asIdentity(leaf: Made, root: Made): Identity {
  return { id: WEB, certificates: leaf.pem, key: leaf.keyPem, trust: { 'mesh.test': [root.pem] }, notBefore: 0, notAfter: NOW }
}

async function handshake(
  t: TestContext,
  own: Identity | undefined,
  other: Identity,
): Promise<{ client: TLSSocket; server: TLSSocket }> {
  const listener = tls.createServer({
    cert: other.certificates,
    key: other.key,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
  })
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const accepted = once(listener, 'secureConnection') as Promise<[TLSSocket]>
  const { port } = listener.address() as AddressInfo
  const pair = own === undefined ? {} : { cert: own.certificates, key: own.key }
  const client = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...pair })
  await once(client, 'secureConnect')
  const [server] = await accepted
  t.after(async () => {
    client.destroy()
    server.destroy()
    listener.close()
    await once(listener, 'close')
  })
  return { client, server }
}

/** The ID of the other end, or which rule refuses it and why. */
function verified(socket: TLSSocket, own: Identity, question: Partial<PeerQuestion> & Pick<PeerQuestion, 'role'>): string {
  const verdict = new Verifier(own.trust).verify(peerChain(socket), { now: Date.now(), ...question })
  return 'id' in verdict ? verdict.id : `${verdict.rule}: ${verdict.message}`
}
