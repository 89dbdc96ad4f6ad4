import assert from 'node:assert/strict'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { readCertificate } from '../../src/tls/certificate.ts'
import { readCertificateRequest } from '../../src/tls/certificate-request.ts'
import { type Issuer, issueIntermediate, issueLeaf, issueRoot, makeKey, requestCertificate } from '../../src/tls/issue.ts'
import { readCertificates, readRequests } from '../../src/tls/pem.ts'
import { Verifier } from '../../src/tls/verify.ts'
import { ecKey, ed25519Key, HOUR, NOW, OID, rsaKey } from './test-certificates.ts'

const ID = 'spiffe://mesh.test/ns/default/sa/web'
const DAY = 24 * HOUR

describe('a certificate that is issued', () => {
  test('is believed by those who trust its root, through an intermediate, in both parts', async () => {
    const root = await makeRootIssuer()
    const key = makeKey()
    const intermediate = await issueIntermediate(root, caRequest({ name: 'issuing', publicKey: createPublicKey(key) }))
    const leaf = await issueLeaf({ certificate: intermediate, key }, leafRequest())
    const verifier = new Verifier({ 'mesh.test': [root.certificate] })

    for (const role of ['server', 'client'] as const) {
      const verdict = verifier.verify([der(leaf), der(intermediate)], { role, now: NOW })
      assert.equal('id' in verdict ? verdict.id : verdict.message, ID)
    }
  })

  test('says what a workload is and nothing more', async () => {
    const leaf = read(await issueLeaf(await makeRootIssuer(), { ...leafRequest(), dnsNames: ['web.test'] }))

    assert.equal(leaf.version, 3)
    assert.equal(leaf.subject.length, 2)
    assert.deepEqual(leaf.extensions.subjectAltNames, [
      { form: 'uri', value: ID },
      { form: 'dns', value: 'web.test' },
    ])
    assert.deepEqual(leaf.extensions.basicConstraints, { ca: false, pathLength: undefined })
    assert.equal(leaf.extensions.keyUsage, 1)
    assert.deepEqual(leaf.extensions.extendedKeyUsage, [OID.serverAuth, OID.clientAuth])
    assert.deepEqual(leaf.extensions.critical.toSorted(), ['2.5.29.15', '2.5.29.17', '2.5.29.19'])
    assert.equal(leaf.signatureAlgorithm.name, 'ECDSA with SHA-256')
  })

  test('begins a minute earlier and lives for 24 h', async () => {
    const leaf = read(await issueLeaf(await makeRootIssuer(), leafRequest()))

    assert.equal(leaf.notBefore, NOW - 60_000)
    assert.equal(leaf.notAfter, NOW + DAY)
  })

  test('never outlives its issuer, nor begins before it', async () => {
    const root = await makeRootIssuer({ lifeMs: HOUR })

    const leaf = read(await issueLeaf(root, leafRequest()))

    assert.equal(leaf.notAfter, NOW + HOUR)
    assert.equal(leaf.notBefore, NOW - 60_000)
    await assert.rejects(
      issueLeaf(root, { ...leafRequest(), now: NOW + 2 * HOUR }),
      /the issuer expired at 2030-01-01T01:00:00.000Z/,
    )
  })

  test('has a serial number of 16 bytes that is positive and its own', async () => {
    const root = await makeRootIssuer()
    const serials = await Promise.all(Array.from({ length: 50 }, async () => read(await issueLeaf(root, leafRequest())).serial))

    for (const serial of serials) assert.ok(serial.length === 16 && (serial[0] as number) >= 0x40 && (serial[0] as number) < 0x80)
    assert.equal(new Set(serials.map((serial) => serial.toString('hex'))).size, 50)
  })

  test('is kept within the trust domain of its CA by name constraints', async () => {
    const root = await makeRootIssuer()
    const leaf = await issueLeaf(root, { ...leafRequest(), id: 'spiffe://other.test/web' })

    const verdict = new Verifier({ 'other.test': [root.certificate] }).verify([der(leaf)], { role: 'client', now: NOW })

    assert.ok('rule' in verdict && verdict.rule === 'name-constraints', JSON.stringify(verdict))
  })

  test('comes from an intermediate that can issue no further CA', async () => {
    const root = await makeRootIssuer()
    const [key, below] = [makeKey(), makeKey()]
    const one = await issueIntermediate(root, caRequest({ name: 'one', publicKey: createPublicKey(key) }))
    const two = await issueIntermediate({ certificate: one, key }, caRequest({ name: 'two', publicKey: createPublicKey(below) }))
    const leaf = await issueLeaf({ certificate: two, key: below }, leafRequest())

    const verdict = new Verifier({ 'mesh.test': [root.certificate] }).verify([leaf, two, one].map(der), {
      role: 'client',
      now: NOW,
    })

    assert.ok('rule' in verdict && verdict.rule === 'path-length', JSON.stringify(verdict))
  })

  for (const [kind, key, name] of [
    ['P-384', ecKey('P-384'), 'ECDSA with SHA-384'],
    ['P-521', ecKey('P-521'), 'ECDSA with SHA-512'],
    ['Ed25519', ed25519Key(), 'Ed25519'],
    ['RSA', rsaKey(2048), 'RSA with SHA-256'],
  ] as const) {
    test(`can be signed by a key of the kind ${kind}, and for one`, async () => {
      const root = { key, certificate: await issueRoot(key, caRequest({ name: 'root' })) }
      const leaf = await issueLeaf(root, { ...leafRequest(), publicKey: createPublicKey(key) })

      const verdict = new Verifier({ 'mesh.test': [root.certificate] }).verify([der(leaf)], { role: 'server', now: NOW })

      assert.equal(read(leaf).signatureAlgorithm.name, name)
      assert.ok('id' in verdict, JSON.stringify(verdict))
    })
  }

  test('is refused to weak keys, bad identities and weak signers', async () => {
    const root = await makeRootIssuer()

    await assert.rejects(
      issueLeaf(root, { ...leafRequest(), publicKey: createPublicKey(rsaKey(1024)) }),
      /no certificate for an RSA key of 1024 bits/,
    )
    await assert.rejects(issueLeaf(root, { ...leafRequest(), id: 'spiffe://mesh.test' }), /a workload's ID has a path/)
    await assert.rejects(issueLeaf(root, { ...leafRequest(), id: 'web' }), /is no SPIFFE ID/)
    await assert.rejects(
      issueLeaf({ ...root, key: ecKey('secp256k1') }, leafRequest()),
      /can't sign with a key of the kind secp256k1/,
    )
  })

  test('may have a trust domain of every length', async () => {
    for (const length of [1, 100, 120, 130, 250, 255]) {
      const trustDomain = 'a'.repeat(length)
      const key = makeKey()
      const root = { key, certificate: await issueRoot(key, { ...caRequest({ name: 'root' }), trustDomain }) }
      const leaf = await issueLeaf(root, { ...leafRequest(), id: `spiffe://${trustDomain}/web` })

      const verdict = new Verifier({ [trustDomain]: [root.certificate] }).verify([der(leaf)], { role: 'server', now: NOW })

      assert.ok('id' in verdict, JSON.stringify(verdict))
    }
  })

  test('dates years from 2050 on as RFC 5280 asks', async () => {
    const root = await makeRootIssuer({ lifeMs: 40 * 365 * DAY })

    assert.equal(read(root.certificate).notAfter, NOW + 40 * 365 * DAY)
    assert.equal(new Date(new X509Certificate(root.certificate).validTo).getTime(), NOW + 40 * 365 * DAY)
  })
})

describe('a request for a certificate', () => {
  test('carries key and identity', async () => {
    for (const key of [makeKey(), ed25519Key(), rsaKey(2048)]) {
      const request = readCertificateRequest(requestDer(await requestCertificate(key, ID)))

      assert.deepEqual(request.names, [{ form: 'uri', value: ID }])
      assert.ok(request.publicKey.equals(createPublicKey(key)))
    }
  })

  test('is refused when it was changed, or signed by another key', async () => {
    const right = requestDer(await requestCertificate(makeKey(), ID))
    const changed = Buffer.from(right)
    changed.write('adm', changed.indexOf('/sa/web') + 4)

    assert.throws(() => readCertificateRequest(changed), /its signature is not that of its key/)
  })

  test('is never granted to a weak key', async () => {
    const { publicKey } = readCertificateRequest(requestDer(await requestCertificate(rsaKey(1024), ID)))

    await assert.rejects(
      issueLeaf(await makeRootIssuer(), { ...leafRequest(), publicKey }),
      /no certificate for an RSA key of 1024 bits/,
    )
  })

  test('is for a SPIFFE ID', async () => {
    await assert.rejects(requestCertificate(makeKey(), 'web'), /is no SPIFFE ID/)
  })
})

async function makeRootIssuer(changes: { lifeMs?: number } = {}): Promise<Issuer> {
  const key = makeKey()
  return { key, certificate: await issueRoot(key, { ...caRequest({ name: 'root' }), ...changes }) }
}

const caRequest = <T extends object>(more: T) => ({ trustDomain: 'mesh.test', now: NOW, lifeMs: 365 * DAY, ...more })
const leafRequest = () => ({ id: ID, publicKey: createPublicKey(makeKey()), now: NOW })
const der = (pem: string): Buffer => readCertificates(pem, 'test')[0] as Buffer
const read = (pem: string) => readCertificate(der(pem))
const requestDer = (pem: string): Buffer => readRequests(pem, 'test')[0] as Buffer
