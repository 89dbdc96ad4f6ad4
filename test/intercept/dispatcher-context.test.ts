import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import { request } from 'undici'
import { systemClock } from '../../src/core/clock.ts'
import { callerLeft, Patience } from '../../src/core/patience.ts'
import { type RequestContext, withContext } from '../../src/core/request-context.ts'
import { AT_ONCE, engine } from '../support/engine.ts'
import { serve } from '../support/servers.ts'

/** A request that this process is serving. */
function serving(leftMs: number, attempt = 1): { context: RequestContext; leave: () => void } {
  const now = systemClock.now()
  const deadline = now + leftMs
  const patience = new Patience(systemClock, now, deadline)
  const context = {
    deadline,
    attempt,
    caller: 'web',
    traceparent: '',
    tracestate: '',
    traceId: '',
    signal: patience.signal,
    onLeave: (fn: (why: Error) => void) => patience.onEnd(fn),
  }
  return { context, leave: () => patience.end(callerLeft()) }
}

/** A server that remembers the headers it got. */
async function listener(t: TestContext, status = 200) {
  const heard: IncomingHttpHeaders[] = []
  const server = await serve(t, (incoming, response) => {
    heard.push(incoming.headers)
    response.writeHead(status).end('heard')
  })
  return { server, heard }
}

describe('a call made while serving a request', () => {
  test('tells the next hop how long there is left, and who calls', async (t) => {
    const { server, heard } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [server], name: 'web' })

    const { body } = await withContext(serving(60_000).context, () => request('http://voting/', { dispatcher }))
    await body.text()

    const left = Number(heard[0]?.['x-envoy-expected-rq-timeout-ms'])
    assert.ok(left > 1_000 && left <= 60_000, `${left}`)
    assert.equal(heard[0]?.['x-envoy-downstream-service-cluster'], 'web')
  })

  test('keeps the headers of the application, in whatever shape they are', async (t) => {
    const { server, heard } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [server], name: 'web' })

    for (const headers of [
      { 'x-user': 'ann' },
      ['x-user', 'ann'],
      new Map([['x-user', 'ann']]),
      new Headers({ 'x-user': 'ann' }),
    ]) {
      await (await request('http://voting/', { dispatcher, headers: headers as never })).body.text()
    }

    assert.deepEqual(
      heard.map((h) => [h['x-user'], h['x-envoy-downstream-service-cluster']]),
      Array.from({ length: 4 }, () => ['ann', 'web']),
    )
  })

  test('tells the shortest of its bounds', async (t) => {
    const { server, heard } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [server], timeoutMs: 30_000, perTryTimeoutMs: 10_000 })

    await (await withContext(serving(60_000).context, () => request('http://voting/', { dispatcher }))).body.text()

    assert.ok(Number(heard[0]?.['x-envoy-expected-rq-timeout-ms']) <= 10_000)
  })

  test('ends when whoever asked has left, and says so', async (t) => {
    const server = await serve(t, () => {})
    const { dispatcher, watch } = engine(t, { addresses: [server] })
    const { context, leave } = serving(60_000)
    const call = withContext(context, () => request('http://voting/', { dispatcher }))
    await once(server.server, 'request')

    leave()

    await assert.rejects(call, { name: 'AbortError', message: 'the caller has left' })
    assert.equal(watch.last.reason, 'cancelled')
  })

  test('ends at the deadline of the request, also between head and body', async (t) => {
    const server = await serve(t, (_, response) => void response.writeHead(200).write('begun'))
    const { dispatcher } = engine(t, { addresses: [server] })

    const { body } = await withContext(serving(300).context, () => request('http://voting/', { dispatcher }))

    await assert.rejects(body.text(), { name: 'TimeoutError' })
  })

  test('is not sent at all once the deadline has passed', async (t) => {
    const { server, heard } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [server] })

    await assert.rejects(
      withContext(serving(-1).context, () => request('http://voting/', { dispatcher })),
      { name: 'TimeoutError' },
    )

    assert.equal(heard.length, 0)
  })

  test('is not sent again when the request is a resend itself', async (t) => {
    const { server, heard } = await listener(t, 503)
    const { dispatcher } = engine(t, { addresses: [server], retry: AT_ONCE })

    const { statusCode, body } = await withContext(serving(60_000, 2).context, () => request('http://voting/', { dispatcher }))
    await body.dump()

    assert.equal(statusCode, 503)
    assert.equal(heard.length, 1)
  })

  test('leaves nothing behind in the request that it was made for', async (t) => {
    const { server } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [server] })
    let bound = 0
    const { context } = serving(60_000)
    const onLeave = (fn: (why: Error) => void) => {
      bound++
      const forget = context.onLeave(fn)
      return () => {
        bound--
        forget()
      }
    }

    await (await withContext({ ...context, onLeave }, () => request('http://voting/', { dispatcher }))).body.text()

    assert.equal(bound, 0)
  })
})

describe('an answer that says the endpoint', () => {
  test('turned the call away for load: it goes to another, whatever its method', async (t) => {
    const full = await serve(t, (_, response) => response.writeHead(503, { 'x-envoy-overloaded': 'true' }).end())
    const { server, heard } = await listener(t)
    const { dispatcher } = engine(t, { addresses: [full, server], retry: AT_ONCE })

    for (let i = 0; i < 4; i++) {
      const { statusCode, body } = await request('http://voting/', { dispatcher, method: 'POST', body: 'vote' })
      await body.dump()
      assert.equal(statusCode, 200)
    }

    assert.equal(heard.length, 4)
  })

  test('is about to go: the others get what comes next', async (t) => {
    const leaving = await serve(t, (_, response) => {
      response.writeHead(200, { 'x-envoy-immediate-health-check-fail': 'true' }).end('leaving')
    })
    const { server } = await listener(t)
    const { dispatcher, service } = engine(t, { addresses: [leaving, server] })

    const answers: string[] = []
    for (let i = 0; i < 10; i++) answers.push(await (await request('http://voting/', { dispatcher })).body.text())

    assert.ok(answers.filter((answer) => answer === 'leaving').length <= 1)
    assert.equal(service.counts.total, 2)
  })
})
