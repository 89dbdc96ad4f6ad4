import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Metadata, status as Status } from '@grpc/grpc-js'
import fc from 'fast-check'
import { judgeAttempt, judgeGrpcStatus } from '../../src/intercept/grpc/judge-status.ts'

const NAMES = ['OK', 'CANCELLED', 'INVALID_ARGUMENT', 'NOT_FOUND', 'ALREADY_EXISTS', 'PERMISSION_DENIED', 'UNAUTHENTICATED']
const MORE = ['FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE', 'UNIMPLEMENTED']

describe('a status of the server', () => {
  test('that is the caller’s fault is a success', () => {
    for (const name of [...NAMES, ...MORE]) assert.equal(judgeGrpcStatus(Status[name as 'OK']).reason, 'ok', name)
  })

  test('that says that it could not is a failure', () => {
    for (const code of [Status.UNKNOWN, Status.INTERNAL, Status.DATA_LOSS, Status.DEADLINE_EXCEEDED]) {
      assert.equal(judgeGrpcStatus(code).reason, 'error_status')
    }
    assert.equal(judgeGrpcStatus(Status.UNAVAILABLE).reason, 'unavailable')
    assert.equal(judgeGrpcStatus(Status.RESOURCE_EXHAUSTED).reason, 'overloaded')
  })

  test('that does not exist is a failure', () => {
    for (const code of [17, -1, 2.5, Number.NaN]) assert.equal(judgeGrpcStatus(code).reason, 'error_status')
  })

  test('about a message that is too large is the caller’s fault', () => {
    for (const details of [
      'Received message larger than max (5242880 vs. 4194304)',
      'grpc: received message larger than max (5242880 vs. 4194304)',
      'gRPC message exceeds maximum size 4194304: 5242880',
    ])
      assert.equal(judgeGrpcStatus(Status.RESOURCE_EXHAUSTED, details).reason, 'ok')
  })

  test('with a pushback is resent after it, or not at all', () => {
    assert.equal(judgeGrpcStatus(Status.UNAVAILABLE, '', 40).retryAfterMs, 40)
    assert.equal(judgeGrpcStatus(Status.RESOURCE_EXHAUSTED, '', 40).retryAfterMs, 40)
    assert.equal(judgeGrpcStatus(Status.UNAVAILABLE, '', 0).resend, 'idempotent')
    assert.equal(judgeGrpcStatus(Status.UNAVAILABLE, '', -1).resend, 'never')
  })

  test('is judged whatever it is', () => {
    fc.assert(
      fc.property(fc.double(), fc.string(), fc.constantFrom('unsent', 'sent', 'answering'), (code, details, progress) => {
        const verdict = judgeAttempt({ code, details, metadata: new Metadata() }, progress as 'sent')
        assert.notEqual(verdict.outcome, undefined)
        if (progress === 'answering') assert.notEqual(verdict.resend, 'safe')
      }),
    )
  })
})

describe('what grpc-js makes itself', () => {
  const judged = (code: Status, details: string, progress: 'unsent' | 'sent' | 'answering', metadata = new Metadata()) =>
    judgeAttempt({ code, details, metadata }, progress).reason

  test('is told from a server’s answer by its metadata', () => {
    const theirs = new Metadata()
    theirs.set('content-type', 'application/grpc')

    assert.equal(judged(Status.UNAVAILABLE, 'Connection dropped', 'sent'), 'reset')
    assert.equal(judged(Status.UNAVAILABLE, 'Connection dropped', 'sent', theirs), 'unavailable')
    assert.equal(judged(Status.UNAVAILABLE, 'Stream refused by server', 'sent'), 'not_sent')
    assert.equal(judged(Status.UNAVAILABLE, 'Stream refused by server', 'sent', theirs), 'unavailable')
    assert.equal(judged(Status.CANCELLED, 'Call cancelled', 'sent'), 'reset')
    assert.equal(judged(Status.CANCELLED, 'no', 'sent', theirs), 'ok')
  })

  test('without a stream is a failed connection, or the caller’s own fault', () => {
    assert.equal(
      judged(Status.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED', 'unsent'),
      'connect_failed',
    )
    assert.equal(judged(Status.UNAVAILABLE, 'Channel closed before call started', 'unsent'), 'not_sent')
    assert.equal(judged(Status.INTERNAL, 'Failed to start HTTP/2 stream with error x', 'unsent'), 'not_sent')
    assert.equal(judged(Status.UNAVAILABLE, 'Getting metadata from plugin failed with error: x', 'unsent'), 'body_failed')
    assert.equal(
      judged(Status.RESOURCE_EXHAUSTED, 'Attempted to send message with a size larger than 5', 'unsent'),
      'body_failed',
    )
  })

  test('after an answer has begun is never resent', () => {
    assert.equal(judged(Status.UNAVAILABLE, 'Stream refused by server', 'answering'), 'unavailable')
  })
})
