import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type IdentityParts, identityOf } from '../../src/tls/identity-of.ts'
import { time } from './der-writer.ts'
import {
  dns,
  ecKey,
  ed25519Key,
  extendedKeyUsage,
  HOUR,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
  names,
  OID,
  rsaKey,
  uri,
} from './test-certificates.ts'

const ID = 'spiffe://mesh.test/ns/default/sa/web'
const root = makeRoot()
const intermediate = makeIntermediate(root)
const leaf = makeLeaf(intermediate, ID)

const parts = (changes: Partial<IdentityParts> = {}): IdentityParts => ({
  from: 'files: /etc/tls',
  certificates: leaf.pem + intermediate.pem,
  key: leaf.keyPem,
  trust: { 'mesh.test': [root.pem] },
  now: NOW,
  ...changes,
})

describe('an identity', () => {
  test('is made of a chain, a key and trust anchors', () => {
    assert.deepEqual(identityOf(parts()), {
      id: ID,
      certificates: leaf.pem + intermediate.pem,
      key: leaf.keyPem,
      trust: { 'mesh.test': [root.pem] },
      notBefore: NOW - HOUR,
      notAfter: NOW + 24 * HOUR,
    })
  })

  test('leaves out the trust anchor at the end of its chain, and text around it', () => {
    const text = `leaf\r\n${leaf.pem}\nissuer\n${intermediate.pem}${root.pem}`.replaceAll('\n', '\r\n')

    assert.equal(identityOf(parts({ certificates: text })).certificates, leaf.pem + intermediate.pem)
  })

  test('ends when the first of its certificates ends', () => {
    const short = makeIntermediate(root, { notBefore: time(NOW - HOUR / 2), notAfter: time(NOW + HOUR) })
    const below = makeLeaf(short, ID)

    const identity = identityOf(parts({ certificates: below.pem + short.pem, key: below.keyPem }))

    assert.equal(identity.notBefore, NOW - HOUR / 2)
    assert.equal(identity.notAfter, NOW + HOUR)
  })

  test('may be one that Linkerd has named', () => {
    const named = makeLeaf(root, ID, {
      extensions: { names: names(dns('web.default.serviceaccount.identity.linkerd.mesh.test')) },
    })

    assert.equal(identityOf(parts({ certificates: named.pem, key: named.keyPem })).id, ID)
  })

  for (const [kind, key] of [
    ['RSA', rsaKey(2048)],
    ['Ed25519', ed25519Key()],
    ['P-384', ecKey('P-384')],
  ] as const) {
    test(`may have a key of the kind ${kind}, and writes it as PKCS#8`, () => {
      const made = makeLeaf(root, ID, { key })

      assert.match(identityOf(parts({ certificates: made.pem, key: made.keyPem })).key, /^-----BEGIN PRIVATE KEY-----/)
    })
  }

  const other = makeLeaf(intermediate, ID)
  const expired = makeLeaf(root, ID, { notAfter: time(NOW - HOUR / 2) })
  const early = makeLeaf(root, ID, { notBefore: time(NOW + HOUR) })
  const clientOnly = makeLeaf(root, ID, { extensions: { extended: extendedKeyUsage(OID.clientAuth) } })
  const nameless = makeLeaf(root, ID, { extensions: { names: names(dns('web.test')) } })
  const foreign = makeLeaf(root, ID, { extensions: { names: names(uri('spiffe://other.test/web')) } })
  const second = makeIntermediate(intermediate)
  const deep = makeLeaf(second, ID)

  for (const [what, changes, message] of [
    [
      'a key that does not fit',
      { key: other.keyPem },
      /^files: \/etc\/tls: the key does not fit the leaf certificate \(serial [0-9a-f]+\): give the pair that was issued together$/,
    ],
    ['no key', { key: 'nothing' }, /^files: \/etc\/tls: key: no private key in it/],
    ['no certificate', { certificates: 'nothing' }, /^files: \/etc\/tls: certificates: no certificate in it/],
    ['a certificate that is none', { certificates: leaf.pem.replace(/MII.*/, '') }, /certificates: certificate 1 of 1: /],
    ['no trust anchor', { trust: {} }, /no trust anchor: nobody could be believed/],
    ['a trust anchor that is none', { trust: { 'mesh.test': ['nothing'] } }, /trust anchors of mesh\.test: no certificate in it/],
    [
      'a trust domain that is none',
      { trust: { 'Mesh.test': [root.pem] } },
      /trust: Mesh\.test: a trust domain has lower-case letters/,
    ],
    [
      'an expired leaf',
      { certificates: expired.pem, key: expired.keyPem },
      /leaf certificate .*: expired at 2029-12-31T23:30:00Z and it is 2030-01-01T00:00:00Z: renew it/,
    ],
    ['a leaf that is not yet valid', { certificates: early.pem, key: early.keyPem }, /is not valid before 2030-01-01T01:00:00Z/],
    [
      'a leaf for clients alone',
      { certificates: clientOnly.pem, key: clientOnly.keyPem },
      /is not for a server: issue it with extended key usage serverAuth and clientAuth/,
    ],
    [
      'a leaf without SPIFFE ID',
      { certificates: nameless.pem, key: nameless.keyPem },
      /no URI name \(the common name does not count\): issue it with its SPIFFE ID/,
    ],
    [
      'a leaf of a trust domain without anchors',
      { certificates: foreign.pem, key: foreign.keyPem },
      /its trust domain other\.test is not trusted here/,
    ],
    [
      'an intermediate that is missing',
      { certificates: leaf.pem },
      /its issuer is neither among the certificates sent nor among the 1 trust anchors/,
    ],
    [
      'certificates out of order',
      { certificates: deep.pem + intermediate.pem + second.pem, key: deep.keyPem },
      /certificate 2 of 3 is not the issuer of the one before it: put the leaf first/,
    ],
    [
      'another root of the same name',
      { trust: { 'mesh.test': [makeRoot({ subject: root.subject }).pem] } },
      /its issuer is neither among|none of the 1 trust anchors/,
    ],
  ] as const) {
    test(`is not made of ${what}`, () => {
      assert.throws(
        () => identityOf(parts(changes)),
        (error: Error & { code: string }) => {
          assert.match(error.message, message)
          assert.equal(error.code, 'INMESH_IDENTITY')
          assert.ok(!error.message.includes(leaf.keyPem.split('\n')[1] as string))
          return true
        },
      )
    })
  }
})
