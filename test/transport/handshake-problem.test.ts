import assert from 'node:assert/strict'
import { test } from 'node:test'
import { handshakeProblem } from '../../src/transport/handshake-problem.ts'

const explained = (message: string, code?: string) => {
  const cause = Object.assign(new Error(message), code === undefined ? {} : { code })
  const { result, error } = handshakeProblem('10.0.0.7:8080', 'spiffe://cluster.local/voting', cause)
  assert.equal(error.code, 'INMESH_IDENTITY')
  assert.equal(error.cause, cause)
  return [result, error.message]
}

test('knows plaintext by the code and by the words of OpenSSL', () => {
  const expected = /^10.0.0.7:8080: does not speak TLS, and spiffe:\/\/cluster.local\/voting is expected there/

  for (const [message, code] of [
    ['error:0A00010B:SSL routines::x', 'ERR_SSL_WRONG_VERSION_NUMBER'],
    ['write EPROTO 80:error:0A00010B:SSL routines:tls_validate_record_header:wrong version number', 'EPROTO'],
    ['error:0A0000C6:SSL routines::packet length too long', undefined],
  ] as const) {
    const [result, text] = explained(message, code)
    assert.equal(result, 'protocol')
    assert.match(text as string, expected)
  }
})

test("quotes OpenSSL's words for what it does not know, and keeps plaintext out of it", () => {
  assert.deepEqual(explained('write EPROTO 80:error:sslv3 alert handshake failure', 'EPROTO'), [
    'protocol',
    '10.0.0.7:8080: TLS handshake failed: write EPROTO 80:error:sslv3 alert handshake failure',
  ])
})

test('tells an end that hung up', () => {
  assert.deepEqual(explained('read ECONNRESET', 'ECONNRESET'), [
    'broken_off',
    '10.0.0.7:8080: closed the connection during the TLS handshake (read ECONNRESET): its own log says why',
  ])
})
