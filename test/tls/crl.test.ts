import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCertificate } from '../../src/tls/certificate.ts'
import { readRevocations } from '../../src/tls/crl.ts'
import { boolean, integer, sequence } from './der-writer.ts'
import { extension, HOUR, type Made, makeLeaf, makeRoot, NOW } from './test-certificates.ts'
import { type ListRecipe, listNumber, listPem, makeList } from './test-revocation-list.ts'

const root = makeRoot()
const leaf = makeLeaf(root, 'spiffe://mesh.test/web')

test('a revocation list is read from DER and from PEM, several in one text', () => {
  const lists = [makeList({ issuer: root, revoked: [leaf] }), makeList({ issuer: root })]

  const [one] = readRevocations(lists[0] as Buffer, 'x')
  const all = readRevocations(Buffer.from(`text\r\n${lists.map(listPem).join('\r\n')}`), 'x')

  assert.deepEqual(
    [one, ...all].map((list) => list?.has(certificate(leaf))),
    [true, true, false],
  )
  assert.equal(one?.thisUpdate, NOW - HOUR)
  assert.equal(one?.nextUpdate, NOW + HOUR)
})

test('a revocation list belongs to the key that has signed it', () => {
  const [list] = readRevocations(makeList({ issuer: root, revoked: [leaf] }), 'x')
  const imitation = makeRoot({ subject: root.subject })

  assert.equal(list?.isOf(certificate(root)), true)
  assert.equal(list?.isOf(certificate(imitation)), false)
  assert.equal(list?.isSignedBy(certificate(root)), true)
  assert.equal(list?.isSignedBy(certificate(imitation)), false)
  assert.equal(list?.isSignedBy(certificate(root)), true)
})

const distributionPoint = extension('2.5.29.28', sequence(boolean(true)), true)
const deltaIndicator = extension('2.5.29.27', integer(Buffer.from([1])), true)
const certificateIssuer = extension('2.5.29.29', sequence(), true)

for (const [what, recipe, message] of [
  [
    'a partial list',
    { extensions: [listNumber(), distributionPoint] },
    /a critical extension 2\.5\.29\.28: only whole lists of one issuer/,
  ],
  ['a list of changes', { extensions: [listNumber(), deltaIndicator] }, /a critical extension 2\.5\.29\.27/],
  [
    'a list of several issuers',
    { revoked: [leaf], entryExtensions: [certificateIssuer] },
    /an entry with a critical extension 2\.5\.29\.29/,
  ],
  ['a list without number', { extensions: [extension('1.2.3.4', sequence())] }, /it has no number/],
  ['a list without extensions', { extensions: [] }, /it has no number/],
  ['a list with a critical number', { extensions: [listNumber(true)] }, /a critical extension 2\.5\.29\.20/],
] as const satisfies readonly (readonly [string, Partial<ListRecipe>, RegExp])[]) {
  test(`${what} is refused when it is read`, () => {
    assert.throws(() => readRevocations(makeList({ issuer: root, ...recipe }), 'crl.der'), { code: 'INMESH_IDENTITY', message })
  })
}

test('what is no list is refused with the name of its file', () => {
  const list = makeList({ issuer: root })

  assert.throws(
    () => readRevocations(list.subarray(0, 50), 'crl.der'),
    /^MeshError: crl\.der: revocation list 1: can't be used: /,
  )
  assert.throws(() => readRevocations(Buffer.from(root.pem), 'crl.pem'), /^MeshError: crl\.pem: no revocation list in it/)
  assert.throws(() => readRevocations(root.der, 'crl.der'), /can't be used/)
  assert.throws(() => readRevocations(Buffer.alloc(2_000_000, 0x30), 'crl.der'), /2000000 bytes, at most 1000000 are read/)
})

const certificate = ({ der }: Made) => readCertificate(der)
