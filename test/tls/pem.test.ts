import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { describe, test } from 'node:test'
import { readCertificates, readPrivateKey, readRequests, readRevocationLists, toPem } from '../../src/tls/pem.ts'
import { ecKey, ed25519Key, makeRoot, rsaKey } from './test-certificates.ts'

const one = makeRoot()
const two = makeRoot()

describe('certificates in PEM', () => {
  for (const [how, text] of Object.entries({
    'one after the other': one.pem + two.pem,
    'with line ends of Windows': (one.pem + two.pem).replaceAll('\n', '\r\n'),
    'with text around them': `subject=web\n${one.pem}\n--- and ---\n- more -\n${two.pem}bye`,
    'with blank lines and spaces': (one.pem + two.pem).replaceAll('\n', ' \n\n'),
    'beside a key': one.pem + one.keyPem + two.pem,
    'in one line each': (one.pem + two.pem).replace(/(?<=[^-])\n(?=[^-])/g, ''),
    'after a byte order mark': `\uFEFF${one.pem}${two.pem}`,
  })) {
    test(`are read ${how}`, () => assert.deepEqual(readCertificates(text, 'x'), [one.der, two.der]))
  }

  for (const [what, text, problem] of [
    ['nothing', '', /^x: no certificate in it, expected a block -----BEGIN CERTIFICATE-----$/],
    ['a key alone', one.keyPem, /no certificate in it/],
    ['a block that does not end', one.pem.slice(0, 200), /does not end: it is cut off or broken/],
    ['a block that another one interrupts', one.pem.slice(0, 200) + two.pem, /does not end/],
    ['a block with another end', one.pem.replace('END CERTIFICATE', 'END PRIVATE KEY'), /does not end/],
    ['what is not base64', one.pem.replace('MII', '!!!'), /certificate 1 of 1: not base64/],
    ['half of its base64', two.pem + one.pem.replace(/.{7}\n-----END/, '\n-----END'), /certificate 2 of 2: not base64/],
    ['an empty block', '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n', /not base64/],
    ['a label of wrong letters', '-----BEGIN certificate-----\n', /without a label/],
    ['1 MB', one.pem.padEnd(1_000_000), /less than 1 MB/],
    ['501 certificates', one.pem.repeat(501), /501 certificates in it, at most 500 are read/],
  ] as const) {
    test(`are refused: ${what}`, () =>
      assert.throws(() => readCertificates(text, 'x'), { code: 'INMESH_IDENTITY', message: problem }))
  }

  test('are read in a time that grows with the text', () => {
    const hostile = '-----BEGIN A-----'.repeat(58_000)

    assert.throws(() => readCertificates(hostile, 'x'), /does not end/)
  })

  test('are written as they are read', () => assert.deepEqual(readCertificates(toPem('CERTIFICATE', one.der), 'x'), [one.der]))
})

describe('a private key in PEM', () => {
  const ec = ecKey()
  const forms: Readonly<Record<string, readonly [KeyObject, string]>> = {
    'PKCS#8': [ec, pem(ec, 'pkcs8')],
    'the older form for EC': [ec, pem(ec, 'sec1')],
    'the older form for RSA': [rsaKey(2048), pem(rsaKey(2048), 'pkcs1')],
    Ed25519: [ed25519Key(), ''],
    'beside a certificate, with line ends of Windows': [ec, (one.pem + pem(ec, 'pkcs8')).replaceAll('\n', '\r\n')],
  }
  for (const [form, [key, text]] of Object.entries(forms)) {
    test(`is read in ${form}`, () => assert.ok(readPrivateKey(text === '' ? pem(key, 'pkcs8') : text, 'x').equals(key)))
  }

  const encrypted = ec.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' }) as string
  const olderEncrypted = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' },
  }).privateKey

  for (const [what, text, problem] of [
    ['none', one.pem, /no private key in it/],
    ['two', pem(ec, 'pkcs8') + pem(ec, 'sec1'), /2 private keys in it/],
    ['an encrypted one', encrypted, /encrypted, run: openssl pkcs8 -topk8 -nocrypt/],
    ['an encrypted one in the older form', olderEncrypted, /encrypted, run: openssl/],
    ['a broken one', pem(ec, 'pkcs8').replace('MI', 'AA'), /broken or of an unknown kind/],
    ['a cut-off one', pem(ec, 'pkcs8').slice(0, 100), /cut off/],
  ] as const) {
    test(`is refused: ${what}`, () => {
      assert.throws(
        () => readPrivateKey(text, 'x'),
        (error: Error) => {
          assert.match(error.message, problem)
          for (const line of text.split('\n').slice(1, -2)) assert.ok(line.length < 20 || !error.message.includes(line))
          return true
        },
      )
    })
  }
})

test('lists and requests have blocks of their own', () => {
  assert.deepEqual(readRevocationLists(toPem('X509 CRL', one.der), 'x'), [one.der])
  assert.deepEqual(readRequests(toPem('CERTIFICATE REQUEST', one.der), 'x'), [one.der])
  assert.throws(() => readRevocationLists(one.pem, 'x'), /no revocation list in it/)
})

function pem(key: KeyObject, type: 'pkcs8' | 'sec1' | 'pkcs1'): string {
  return key.export({ type: type as 'pkcs8', format: 'pem' }) as string
}
