import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MeshError } from '../../src/core/errors.ts'
import { grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import type { Answer } from '../support/grpc-trial.ts'
import { serve } from '../support/servers.ts'

test('options that are wrong say which and why', (t) => {
  const { door } = grpcEngine(t, { addresses: [] })
  const wrong = (options: unknown, message: RegExp) =>
    assert.throws(
      () => grpcClientOptions(door, options as never),
      (error) => error instanceof MeshError && error.code === 'INMESH_CONFIG' && message.test(error.message),
    )

  wrong({ idempotent: 'all' }, /^grpc\.idempotent: expected a function, or an array of paths .*, got "all"$/)
  wrong({ idempotent: ['Read'] }, /^grpc\.idempotent: expected/)
  wrong({ retries: 3 }, /^grpc\.retries: unknown option/)
  wrong(5, /^grpc: expected an object, got 5$/)
})

test('calls over gRPC and HTTP count for the same service', async (t) => {
  const grpcServer = await serveGrpc(t)
  const httpServer = await serve(t, (_request, response) => void response.end('over http'))
  const { client, dispatcher, service, watch, update } = grpcEngine(t, { addresses: [grpcServer] })

  assert.equal((await answer<Answer>((done) => client().ask({}, done))).server, 'a')
  update([httpServer])
  const { body } = await dispatcher.request({ origin: 'http://voting', path: '/', method: 'GET' })

  assert.equal(await body.text(), 'over http')
  assert.equal(service.inFlight, 0)
  assert.deepEqual(
    watch.calls.map(({ method, path, reason }) => [method, path, reason]),
    [
      ['POST', '/inmesh.trial.Trial/Ask', 'ok'],
      ['GET', '/', 'ok'],
    ],
  )
})
