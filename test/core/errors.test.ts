import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { MeshError } from '../../src/core/errors.ts'

test('says code, service, endpoint, attempts, reason and cause', () => {
  const cause = new Error('connect ECONNREFUSED')
  const details = { service: 'voting', endpoint: '10.0.0.7:8080', attempts: 2, reason: 'connect_failed', cause } as const

  const error = new MeshError('INMESH_ATTEMPTS_FAILED', 'voting: 2 attempts failed', details)

  assert.equal(error instanceof Error, true)
  assert.equal(error.message, 'voting: 2 attempts failed')
  const { code, service, endpoint, attempts, reason } = error
  assert.deepEqual(
    { code, service, endpoint, attempts, reason, cause: error.cause },
    { code: 'INMESH_ATTEMPTS_FAILED', ...details },
  )
})

test('has no cause, not even an undefined one, when none is given', () => {
  assert.equal('cause' in new MeshError('INMESH_CLOSED', 'closed'), false)
  assert.equal('cause' in new MeshError('INMESH_CLOSED', 'closed', { cause: undefined }), false)
})

test('counts no attempts unless told', () => {
  assert.equal(new MeshError('INMESH_CLOSED', 'closed').attempts, 0)
})

test('reads as a MeshError when it is shown', () => {
  const error = new MeshError('INMESH_TIMEOUT', 'voting: no answer within 2000 ms')

  assert.equal(error.name, 'MeshError')
  assert.equal(String(error), 'MeshError: voting: no answer within 2000 ms')
  assert.match(inspect(error), /^MeshError: voting: no answer within 2000 ms\n {4}at /)
  assert.equal(Object.keys(error).includes('name'), false)
})

test('is refused without a stack, and leaves the stacks of others alone', () => {
  const limit = Error.stackTraceLimit

  const error = MeshError.refusal('INMESH_REFUSED', 'voting: every endpoint refused', { service: 'voting', reason: 'refused' })

  assert.equal(error.stack, 'MeshError: voting: every endpoint refused')
  assert.equal(error.service, 'voting')
  assert.equal(error.reason, 'refused')
  assert.equal(Error.stackTraceLimit, limit)
  assert.match(String(new Error('other').stack), /\n {4}at /)
})
