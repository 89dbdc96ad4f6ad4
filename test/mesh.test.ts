import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { test } from 'node:test'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type MeshError, type MeshOptions } from '../src/index.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { cleanup, serve, serveRaw } from './support/servers.ts'

ownRuntimeDirectory()

function meshOf(t: Parameters<typeof cleanup>[0], options: MeshOptions = {}) {
  const mesh = createMesh(options)
  cleanup(t, () => mesh.close())
  return mesh
}

test('finds a server of this machine that announced itself, with nothing configured', async (t) => {
  const { server } = await serve(t, (request, response) => response.end(`${request.headers.host} ${request.url}`))
  const mesh = meshOf(t)
  mesh.announce(server, { service: 'greeter' })

  const response = await mesh.fetch('http://greeter/hello?x=1')

  assert.equal(response.status, 200)
  assert.equal(await response.text(), 'greeter /hello?x=1')
})

test('calls through every door share one service, its endpoints and its numbers', async (t) => {
  const { port } = await serve(t, (_, response) => response.end('hi'))
  const mesh = meshOf(t, { name: 'web', services: { greeter: { discovery: staticEndpoints([`127.0.0.1:${port}`]) } } })

  await (await mesh.fetch('http://greeter/')).text()
  await (await mesh.request('http://greeter/')).body.text()
  await (await fetch('http://greeter/', { dispatcher: mesh.dispatcher } as unknown as RequestInit)).text()
  await overHttp(mesh.httpAgent, 'greeter')

  const stats = mesh.stats()
  assert.equal(stats.from, 'web')
  assert.deepEqual(
    stats.services.map((s) => [s.name, s.calls.total, s.calls.success, s.attempts.total, s.endpoints.ready]),
    [['greeter', 4, 4, 4, 1]],
  )
})

test('the same numbers come out as stats, as Prometheus text and for OpenTelemetry', async (t) => {
  const { port } = await serve(t, (_, response) => response.writeHead(500).end())
  const mesh = meshOf(t, { services: { greeter: { discovery: staticEndpoints([`127.0.0.1:${port}`]) } } })

  await (await mesh.fetch('http://greeter/')).text()
  const { resourceMetrics } = await mesh.metricProducer.collect()

  assert.equal(mesh.stats().services[0]?.calls.failure, 1)
  assert.match(mesh.prometheus(), /^http_client_request_duration_seconds_count\{.*http_response_status_code="500".*\} 1$/m)
  const names = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics.map(({ descriptor }) => descriptor.name))
  assert.ok(names.includes('http.client.request.duration'), names.join())
})

test('passes other hosts through untouched, and counts them', async (t) => {
  const { origin } = await serve(t, (request, response) => {
    response.setHeader('connection', 'close').end(request.headers['x-envoy-attempt-count'] ?? 'untouched')
  })
  const mesh = meshOf(t)

  assert.equal(await (await mesh.fetch(origin)).text(), 'untouched')

  assert.deepEqual(mesh.stats().services, [])
  assert.deepEqual(
    mesh.stats().egress.map((e) => e.calls),
    [1],
  )
})

test('loses no call when one of two endpoints refuses, nor when it answers 503', async (t) => {
  const well = await serve(t, (_, response) => response.end('well'))
  const ill = await serve(t, (_, response) => response.writeHead(503).end())
  const addresses = [`127.0.0.1:${well.port}`, `127.0.0.1:${ill.port}`, '127.0.0.1:1']
  const mesh = meshOf(t, { services: { greeter: { discovery: staticEndpoints(addresses), balancer: 'round-robin' } } })

  const statuses = await Promise.all(Array.from({ length: 30 }, async () => (await mesh.fetch('http://greeter/')).status))

  // of three endpoints two are ill: a resend of the 503 may meet the one that refuses, which is always followed by another
  assert.ok(
    statuses.every((status) => status === 200 || status === 503),
    statuses.join(),
  )
  const { attempts, calls } = mesh.stats().services[0] ?? assert.fail()
  assert.equal(calls.total, 30)
  assert.ok(attempts.total > 30)
  assert.ok((attempts.reasons.connect_failed ?? 0) > 0)
})

test('a route has its own timeout', async (t) => {
  const { port } = await serve(t, (request, response) => {
    if (request.url === '/fast') response.end('fast')
  })
  const mesh = meshOf(t, {
    services: {
      greeter: {
        discovery: staticEndpoints([`127.0.0.1:${port}`]),
        routes: [{ name: 'slow', matches: [{ path: { type: 'PathPrefix', value: '/slow' } }], timeouts: { request: '50ms' } }],
      },
    },
  })

  assert.equal(await (await mesh.fetch('http://greeter/fast')).text(), 'fast')
  await assert.rejects(mesh.fetch('http://greeter/slow/x'), (error: Error) => {
    assert.equal(error.message, 'fetch failed')
    assert.equal((error.cause as MeshError).code, 'INMESH_TIMEOUT')
    return true
  })
  assert.deepEqual(
    mesh
      .stats()
      .services[0]?.routes.map((r) => r.name)
      .sort(),
    ['default', 'slow'],
  )
})

test('a breaker of the service answers in its place once half of the calls fail', async (t) => {
  const { port } = await serve(t, (_, response) => response.writeHead(500).end())
  const { opossumBreaker } = await import('../src/resilience/opossum.ts')
  const mesh = meshOf(t, {
    services: {
      greeter: {
        discovery: staticEndpoints([`127.0.0.1:${port}`]),
        serviceBreaker: opossumBreaker({ minCalls: 5, fallback: { status: 203, body: 'from memory' } }),
      },
    },
  })

  for (let i = 0; i < 6; i++) await (await mesh.fetch('http://greeter/')).text()
  const response = await mesh.fetch('http://greeter/')

  assert.equal(response.status, 203)
  assert.equal(await response.text(), 'from memory')
})

test('close finishes what is in flight, refuses what comes after, and withdraws what was announced', async (t) => {
  let answer = () => {}
  const { server } = await serve(t, (_, response) => {
    answer = () => response.end('late')
  })
  const mesh = createMesh()
  mesh.announce(server, { service: 'greeter' })
  const inFlight = mesh.fetch('http://greeter/')
  await once(server, 'request')

  const closed = mesh.close()
  const refused = mesh.fetch('http://greeter/')
  answer()

  await assert.rejects(refused, (error: Error) => (error.cause as MeshError).code === 'INMESH_CLOSED')
  assert.equal(await (await inFlight).text(), 'late')
  await closed
  assert.equal(mesh.close(), mesh.close())
})

test('a call fails with the path of the failure when no attempt succeeds', async (t) => {
  const { port } = await serveRaw(t, (socket) => socket.destroy())
  const mesh = meshOf(t, { services: { greeter: { discovery: staticEndpoints([`127.0.0.1:${port}`]) } } })

  await assert.rejects(mesh.request('http://greeter/'), (error: MeshError) => {
    assert.equal(error.code, 'INMESH_ATTEMPTS_FAILED')
    assert.match(error.message, new RegExp(`^greeter: 2 attempts failed, last on 127\\.0\\.0\\.1:${port}: `))
    assert.equal(error.attempts, 2)
    assert.equal(error.service, 'greeter')
    return true
  })
})

test('bad options fail at once, all of them, each with its path', () => {
  const options = {
    services: { voting: { timeoutMs: -1, perTryTimeoutMs: '5s', balancer: 'p3c' }, Web: {} },
    defaults: { retries: 3 },
  } as unknown as MeshOptions

  assert.throws(
    () => createMesh(options),
    (error: MeshError) => {
      assert.equal(error.code, 'INMESH_CONFIG')
      const lines = error.message.split('\n')
      assert.ok(lines.some((line) => /^services\.voting\.timeoutMs: expected .*, got -1$/.test(line)))
      assert.ok(lines.some((line) => /^services\.voting\.perTryTimeoutMs: expected .*, got "5s"$/.test(line)))
      assert.ok(lines.some((line) => /^services\.Web: expected a host/.test(line)))
      assert.ok(lines.some((line) => /^defaults\.retries: unknown option/.test(line)))
      return true
    },
  )
})

async function overHttp(agent: http.Agent, host: string): Promise<string> {
  const request = http.get({ host, path: '/', agent })
  const [response] = (await once(request, 'response')) as [http.IncomingMessage]
  return (await response.toArray()).join('')
}

test('close gives what is in flight its time and no more, in every door', async (t) => {
  const server = await serve(t, (_, response) => void response.write('begun'))
  const mesh = createMesh({ services: { greeter: { discovery: staticEndpoints([`127.0.0.1:${server.port}`]) } } })
  const { body } = await mesh.request('http://greeter/')
  const streamed = await mesh.fetch('http://greeter/')
  const [overAgent] = (await once(http.get({ host: 'greeter', agent: mesh.httpAgent }), 'response')) as [http.IncomingMessage]
  const reading = [body.text(), streamed.text(), overAgent.toArray()].map((read) =>
    read.then(
      () => 'whole',
      () => 'failed',
    ),
  )

  await mesh.close({ drainMs: 50 })

  assert.deepEqual(await Promise.all(reading), ['failed', 'failed', 'failed'])
})
