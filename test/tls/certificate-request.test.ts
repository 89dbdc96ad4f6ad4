import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readCertificateRequest } from '../../src/tls/certificate-request.ts'
import { DerError } from '../../src/tls/der.ts'
import { makeKey, requestCertificate } from '../../src/tls/issue.ts'
import { readRequests } from '../../src/tls/pem.ts'

const ID = 'spiffe://prod.example/ns/default/sa/voting'
const key = makeKey()
const der = readRequests(await requestCertificate(key, ID), 'request')[0] as Buffer

describe('a certificate request', () => {
  test('gives the key and the names that it asks for', () => {
    const { publicKey, names } = readCertificateRequest(der)

    assert.equal(publicKey.equals(createPublicKey(key)), true)
    assert.deepEqual(names, [{ form: 'uri', value: ID }])
  })

  test('may be signed by Ed25519 or RSA', async () => {
    for (const { privateKey } of [generateKeyPairSync('ed25519'), generateKeyPairSync('rsa', { modulusLength: 2048 })]) {
      const [request] = readRequests(await requestCertificate(privateKey, ID), 'request')

      assert.equal(readCertificateRequest(request as Buffer).names[0]?.value, ID)
    }
  })

  test('is refused with any byte changed', () => {
    fc.assert(
      fc.property(fc.nat(der.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Buffer.from(der)
        changed[at] = (changed[at] as number) ^ change

        assert.throws(() => readCertificateRequest(changed), DerError)
      }),
    )
  })

  test('is refused when it is cut off, has more behind it, or is larger than 64 KiB', () => {
    for (const bytes of [der.subarray(0, -1), Buffer.concat([der, Buffer.from([0])]), Buffer.alloc(65 * 1024)]) {
      assert.throws(() => readCertificateRequest(bytes), DerError)
    }
  })
})
