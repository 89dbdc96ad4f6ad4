import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { serving } from './support/serving.ts'

/** As adapters and tools for tests make them. */
test('a request that came by no connection is served, and ends with its answer', async () => {
  const { mesh, seen } = serving({ loadReports: true })
  const handler = inmeshHttp({ mesh }, (_, response) => response.end('made up'))
  const request = Object.assign(new http.IncomingMessage(null as unknown as Socket), { method: 'GET', url: '/made' })
  const response = new http.ServerResponse(request)
  const written = new PassThrough()

  response.assignSocket(written as unknown as Socket)
  handler(request, response)
  await once(response, 'finish')
  response.emit('close')

  assert.match(String(written.read()), /made up/)
  await seen.whenEnded(1)
  assert.equal(mesh.inbound.inFlight, 0)
})
