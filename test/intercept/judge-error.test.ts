import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errors } from 'undici'
import { judgeError, type Progress } from '../../src/intercept/undici/judge-error.ts'

function coded(code: string, message = code): Error {
  return Object.assign(new Error(message), { code })
}

function reasons(progress: Progress, list: readonly Error[]): string[] {
  return list.map((error) => judgeError(error, progress).reason)
}

test('takes a failure to connect for one that can always be sent again', () => {
  const failures = ['ECONNREFUSED', 'ENOTFOUND', 'ECONNRESET', 'ERR_TLS_CERT_ALTNAME_INVALID', 'DEPTH_ZERO_SELF_SIGNED_CERT'].map(
    (code) => judgeError(coded(code), 'queued'),
  )

  for (const verdict of failures) assert.deepEqual([verdict.reason, verdict.resend], ['connect_failed', 'safe'])
})

test('tells a connection that takes too long from one that is refused', () => {
  assert.deepEqual(reasons('queued', [new errors.ConnectTimeoutError('x'), coded('ETIMEDOUT')]), [
    'connect_timeout',
    'connect_timeout',
  ])
})

test('knows that a request whose connection was closed by ourselves was never sent', () => {
  const closed = [new errors.ClientClosedError(), new errors.ClientDestroyedError(), new errors.SocketError('x', {} as never)]

  for (const error of closed) assert.equal(judgeError(error, 'queued').reason, 'not_sent')
  assert.equal(judgeError(new errors.ClientClosedError(), 'declined').reason, 'not_sent')
})

test("holds the caller's own mistakes against nobody", () => {
  const mistakes = [
    new errors.InvalidArgumentError('x'),
    new errors.NotSupportedError('x'),
    new errors.RequestContentLengthMismatchError(),
  ]

  for (const error of mistakes) assert.deepEqual(judgeError(error, 'queued'), judgeError(error, 'declined'))
  assert.deepEqual(reasons('queued', mistakes), ['body_failed', 'body_failed', 'body_failed'])
  assert.equal(judgeError(new TypeError('key.toLowerCase is not a function'), 'declined').reason, 'body_failed')
  assert.equal(judgeError(mistakes[0], 'queued').outcome, 'ignored')
})

test('takes a lost connection for a reset before the head of an answer, and for a broken answer after', () => {
  const lost = [
    coded('ECONNRESET'),
    coded('EPIPE'),
    new errors.SocketError('x', {} as never),
    coded('ERR_HTTP2_STREAM_ERROR'),
    new errors.HTTPParserError('Response does not match the HTTP/1.1 protocol (Invalid EOF state)'),
  ]

  assert.deepEqual(
    reasons('sent', lost),
    lost.map(() => 'reset'),
  )
  assert.deepEqual(
    reasons('answering', lost),
    lost.map(() => 'broken_off'),
  )
  assert.equal(judgeError(lost[0], 'sent').resend, 'idempotent')
  assert.equal(judgeError(lost[0], 'answering').resend, 'never')
})

test('may always send again what an HTTP/2 server says it has not seen', () => {
  const refused = Object.assign(coded('ERR_HTTP2_STREAM_ERROR'), { http2ErrorCode: 7 })
  const above = new errors.InformationalError('HTTP/2: "GOAWAY" frame received with code 0')
  const unsent = new errors.InformationalError('HTTP/2: "frameError" received - type 1, code -1')

  for (const error of [refused, above, unsent]) assert.equal(judgeError(error, 'sent').reason, 'not_sent')
})

test('may always send again what undici took back and could not deliver to a new connection', () => {
  assert.equal(judgeError(coded('ECONNREFUSED'), 'sent').reason, 'connect_failed')
  assert.equal(judgeError(new errors.ConnectTimeoutError('x'), 'sent').reason, 'connect_timeout')
})

test('may always send again what a TLS server has not let in, and takes other failures of TLS for a lost connection', () => {
  for (const alert of ['SSLV3_ALERT_BAD_CERTIFICATE', 'TLSV1_ALERT_UNKNOWN_CA', 'TLSV13_ALERT_CERTIFICATE_REQUIRED'])
    assert.equal(judgeError(coded(`ERR_SSL_${alert}`), 'sent').reason, 'connect_failed')
  assert.equal(judgeError(coded('INMESH_IDENTITY'), 'sent').reason, 'connect_failed')
  assert.equal(judgeError(coded('ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC'), 'sent').reason, 'reset')
  assert.equal(judgeError(coded('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'), 'answering').reason, 'broken_off')
})

test('never sends again what was answered with garbage', () => {
  for (const error of [new errors.HTTPParserError('x'), new errors.HeadersOverflowError()]) {
    const verdict = judgeError(error, 'sent')

    assert.deepEqual([verdict.reason, verdict.resend], ['malformed', 'never'])
  }
})

test("tells the application's own limits from those of the mesh", () => {
  assert.equal(judgeError(new errors.HeadersTimeoutError(), 'sent').reason, 'answer_timeout')
  assert.equal(judgeError(new errors.BodyTimeoutError(), 'answering').reason, 'answer_timeout')
})

test('takes everything else for the failure of the caller: its body, its abort, its callbacks', () => {
  for (const error of [new Error('mine'), coded('ENOENT'), new errors.RequestAbortedError(), 'a string', undefined, null]) {
    assert.equal(judgeError(error, 'sent').outcome, 'ignored')
    assert.equal(judgeError(error, 'answering').outcome, 'ignored')
  }
})
