import assert from 'node:assert/strict'
import { once } from 'node:events'
import http2 from 'node:http2'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { currentContext } from '../../src/core/request-context.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { fixedLimit } from '../../src/server/limits/fixed-limit.ts'
import { inmeshHttp, type ServedListener } from '../../src/server/node-http.ts'
import { cleanup, serveH2c } from '../support/servers.ts'
import { serving } from './support/serving.ts'

type Listener = ServedListener<http2.Http2ServerRequest, http2.Http2ServerResponse>

async function served(t: TestContext, options: Parameters<typeof serving>[0], listener: Listener) {
  const { mesh, seen } = serving(options, { loop: () => 0.5 })
  const { origin } = await serveH2c(t, inmeshHttp({ mesh, onError() {} }, listener))
  const client = http2.connect(origin)
  client.on('error', () => {})
  cleanup(t, () => client.destroy())
  const ask = async (headers: http2.OutgoingHttpHeaders = {}) => {
    const stream = client.request(headers)
    stream.on('error', () => {})
    const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders]
    let text = ''
    for await (const chunk of stream.setEncoding('utf8')) text += chunk
    return { answer, text }
  }
  return { mesh, seen, origin, client, ask }
}

test('serves a request over HTTP/2 in its context', async (t) => {
  const { seen, ask } = await served(t, { loadReports: true }, async ({ mesh: inbound }, response) => {
    await turn()
    response.end(
      JSON.stringify([inbound === currentContext(), inbound.method, inbound.path, inbound.peer.address, inbound.caller]),
    )
  })

  const { answer, text } = await ask({ ':path': '/vote', 'x-envoy-downstream-service-cluster': 'web' })
  const second = await ask({ ':path': '/vote' })
  await seen.whenEnded(2)

  assert.deepEqual(JSON.parse(text), [true, 'GET', '/vote', '127.0.0.1', 'web'])
  assert.match(String(answer['endpoint-load-metrics']), /^TEXT application_utilization:0\.5/)
  assert.equal(second.answer['endpoint-load-metrics'], undefined)
  assert.deepEqual(seen.endings, ['ended 200 ok', 'ended 200 ok'])
})

test('sees a stream that its caller gives up', async (t) => {
  const left = Promise.withResolvers<Error>()
  const { seen, client } = await served(t, {}, ({ mesh: inbound }) => {
    inbound.signal.addEventListener('abort', () => left.resolve(inbound.signal.reason))
    stream.close(http2.constants.NGHTTP2_CANCEL)
  })
  const stream = client.request()
  stream.on('error', () => {})

  assert.equal((await left.promise).name, 'AbortError')
  await seen.whenEnded(1)

  assert.deepEqual(seen.endings, ['ended 200 cancelled'])
})

test('answers a failed handler with 500, and breaks off an answer that has begun', async (t) => {
  const { seen, client, ask } = await served(t, {}, async ({ mesh: inbound }, response) => {
    if (inbound.path === '/half') {
      response.write('half')
      await turn()
    }
    throw new Error('no database')
  })

  assert.equal((await ask()).answer[':status'], 500)
  const stream = client.request({ ':path': '/half' })
  await new Promise<void>((resolve) =>
    stream
      .on('error', () => {})
      .resume()
      .on('close', resolve),
  )
  await seen.whenEnded(2)

  assert.equal(stream.rstCode, http2.constants.NGHTTP2_INTERNAL_ERROR)
  assert.deepEqual(seen.endings, ['ended 500 error_status', 'ended 200 broken_off'])
})

test('refuses over HTTP/2, and gives a permit back at the head of the answer', async (t) => {
  const streaming: http2.Http2ServerResponse[] = []
  const options = { admissions: [concurrencyLimit({ limit: fixedLimit({ requests: 1 }) })] }
  const { ask, client } = await served(t, options, (_request, response) => void streaming.push(response))
  const first = client.request()
  while (streaming.length === 0) await turn()

  const refused = await ask()
  streaming[0]?.write('begun')
  await once(first, 'response')
  const second = ask()
  while (streaming.length === 1) await turn()
  for (const response of streaming) response.end('done')

  assert.deepEqual([refused.answer[':status'], refused.answer['x-envoy-overloaded']], [503, 'true'])
  assert.equal((await second).text, 'done')
  first.resume()
})

test('survives clients that reset ten thousand streams as fast as they can', async (t) => {
  const { mesh, seen, origin, ask } = await served(t, {}, ({ mesh: inbound }, response) => {
    if (inbound.path === '/well') response.end('well')
  })
  // a server of Node's own cuts off whoever resets far more than 500 in one go; each of these was under way
  for (let client = 0; client < 20; client++) {
    const hasty = http2.connect(origin).on('error', () => {})
    cleanup(t, () => hasty.destroy())
    for (let i = 0; i < 500; i++) {
      const stream = hasty.request()
      stream.on('error', () => {})
      stream.close(http2.constants.NGHTTP2_CANCEL)
      if (i % 50 === 0) await turn()
    }
  }

  assert.equal((await ask({ ':path': '/well' })).text, 'well')
  while (mesh.inbound.inFlight > 0) await turn()

  assert.equal(seen.endings.length, seen.inbounds.length)
})
