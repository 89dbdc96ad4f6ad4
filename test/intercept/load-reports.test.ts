import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { request } from 'undici'
import { leastRequest } from '../../src/balancer/least-request.ts'
import type { Balancer } from '../../src/core/balancer.ts'
import { unmetered } from '../../src/core/load.ts'
import { LOAD_REPORT_BINARY_HEADER, LOAD_REPORT_HEADER } from '../../src/core/load-report.ts'
import { binaryReport } from '../../src/core/load-report-binary.ts'
import type { Service } from '../../src/core/service.ts'
import { createFetch } from '../../src/intercept/undici/fetch.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { serveGrpc as serveMeshedGrpc } from '../server/support/grpc-serving.ts'
import { serving } from '../server/support/serving.ts'
import { agentEngine, send } from '../support/agent-engine.ts'
import { engine, inOrder } from '../support/engine.ts'
import { answer, grpcEngine } from '../support/grpc-engine.ts'
import { serveGrpc } from '../support/grpc-servers.ts'
import type { TrialHandlers } from '../support/grpc-trial.ts'
import { type Http2Handler, serve, serveH2, testCertificate } from '../support/servers.ts'
import { virtualRuntime } from '../support/virtual-time.ts'

const LOADS = [0.95, 0.2, 0.2]
/** By calls in flight: of calls that do not overlap, no latency decides. */
const balancer = leastRequest()

/** Has every endpoint called, by calls that overlap, then calls one after the other; each endpoint's share of the latter. */
async function shares(service: Service, call: () => Promise<unknown>, counts: () => readonly number[]): Promise<number[]> {
  await Promise.all(Array.from({ length: 12 }, call))
  const before = counts()
  assert.ok(before.every((count) => count > 0))
  for (let i = 0; i < 100; i++) await call()
  assert.equal(service.inFlight, 0)
  return counts().map((count, i) => (count - (before[i] as number)) / 100)
}

function assertLeft([busy]: readonly number[]): void {
  assert.ok((busy as number) < 0.1, `${busy}`)
}

/** On a clock that stands, there is one report, told to each connection once. */
const telling = (load: number) => ({ runtime: virtualRuntime(), loop: () => load })

describe('a busy server that says so is called less', () => {
  const meshed = () =>
    LOADS.map((load) => {
      const { mesh, seen } = serving({ loadReports: true }, telling(load))
      return { mesh, seen, listener: inmeshHttp({ mesh }, (_request, response) => response.end('done')) }
    })

  test('through the dispatcher', async (t) => {
    const servers = meshed()
    const addresses = await Promise.all(servers.map(({ listener }) => serve(t, listener)))
    const { dispatcher, service } = engine(t, { addresses, balancer })
    const call = async () => (await request('http://voting/', { dispatcher })).body.dump()

    assertLeft(await shares(service, call, () => servers.map(({ seen }) => seen.inbounds.length)))
  })

  test('through fetch', async (t) => {
    const servers = meshed()
    const addresses = await Promise.all(servers.map(({ listener }) => serve(t, listener)))
    const { dispatcher, service } = engine(t, { addresses, balancer })
    const fetch = createFetch(dispatcher)
    const call = async () => (await fetch('http://voting/')).text()

    assertLeft(await shares(service, call, () => servers.map(({ seen }) => seen.inbounds.length)))
  })

  test('over HTTP/2', async (t) => {
    const servers = meshed()
    const done: Http2Handler = (_request, response) => response.end('done')
    const addresses = await Promise.all(servers.map(({ mesh }) => serveH2(t, inmeshHttp({ mesh }, done))))
    const { dispatcher, service } = engine(t, { addresses, balancer, tls: { ca: testCertificate.cert, servername: 'localhost' } })
    const call = async () => (await request('https://voting/', { dispatcher })).body.dump()

    assertLeft(await shares(service, call, () => servers.map(({ seen }) => seen.inbounds.length)))
  })

  test('through the agent for node:http', async (t) => {
    const servers = meshed()
    const addresses = await Promise.all(servers.map(({ listener }) => serve(t, listener)))
    const { agent, service } = agentEngine(t, { addresses, balancer })

    assertLeft(
      await shares(
        service,
        () => send(agent),
        () => servers.map(({ seen }) => seen.inbounds.length),
      ),
    )
  })

  test('through gRPC', async (t) => {
    const servers = await Promise.all(
      LOADS.map((load) => serveMeshedGrpc(t, { inbound: { loadReports: true }, parts: telling(load) })),
    )
    const { client, service } = grpcEngine(t, { addresses: servers, balancer })
    const trial = client()
    const call = () => answer((done) => trial.ask({}, done))

    assertLeft(await shares(service, call, () => servers.map(({ seen }) => seen.inbounds.length)))
  })

  test('through gRPC, when it says so before its answer', async (t) => {
    const handlers = (load: number): TrialHandlers => ({
      ask: ((call, callback) => {
        const metadata = new grpc.Metadata()
        metadata.set(LOAD_REPORT_BINARY_HEADER, binaryReport({ cpuUtilization: load }))
        call.sendMetadata(metadata)
        callback(null, {})
      }) as grpc.handleUnaryCall<object, object>,
    })
    const servers = await Promise.all(LOADS.map((load) => serveGrpc(t, { handlers: handlers(load) })))
    const { client, service } = grpcEngine(t, { addresses: servers, balancer })
    const trial = client()
    const call = () => answer((done) => trial.ask({}, done))

    assertLeft(await shares(service, call, () => servers.map(({ calls }) => calls['ask'] ?? 0)))
  })

  test('with the answer that turns a call away, before it is sent again', async (t) => {
    const busy = await serve(t, (_request, response) => {
      response.writeHead(503, { 'x-envoy-overloaded': 'true', [LOAD_REPORT_HEADER]: 'TEXT cpu_utilization=0.95' }).end()
    })
    const other = await serve(t, (_request, response) => response.end('done'))
    const told: number[] = []
    const { dispatcher, watch } = engine(t, { addresses: [busy, other], balancer: () => noting(told) })

    const { body } = await request('http://voting/', { dispatcher })

    assert.equal(await body.text(), 'done')
    assert.deepEqual(told, [0.95])
    assert.equal(watch.last.attempts.length, 2)
  })
})

describe('a load report', () => {
  test('reaches the application as any header', async (t) => {
    const { mesh } = serving({ loadReports: true }, { loop: () => 0.5 })
    const server = await serve(
      t,
      inmeshHttp({ mesh }, (_request, response) => response.end()),
    )
    const { dispatcher } = engine(t, { addresses: [server] })

    const { headers, body } = await request('http://voting/', { dispatcher })
    await body.dump()

    assert.match(String(headers[LOAD_REPORT_HEADER]), /^TEXT application_utilization:0\.5/)
  })

  test('that makes no sense harms nobody', async (t) => {
    const nonsense = [
      '',
      'TEXT',
      'JSON {',
      'BIN ****',
      'TEXT cpu_utilization:-1',
      'TEXT cpu_utilization:1e999',
      ['TEXT a:1', 'TEXT b:2'],
    ]
    let next = 0
    const server = await serve(t, (_request, response) => {
      response.setHeader(LOAD_REPORT_HEADER, nonsense[next++] as string)
      response.end('done')
    })
    const told: number[] = []
    const { dispatcher } = engine(t, { addresses: [server], balancer: () => noting(told) })
    const { agent } = agentEngine(t, { addresses: [server], balancer: () => noting(told) })

    for (const _ of nonsense) assert.equal(await (await request('http://voting/', { dispatcher })).body.text(), 'done')
    next = 0
    for (const _ of nonsense) assert.equal((await send(agent)).body, 'done')

    assert.deepEqual(told, [])
  })
})

/** Takes the endpoints in order, and notes what is reported of them. */
function noting(told: number[]): Balancer {
  return { ...inOrder(), meter: () => ({ ...unmetered, report: (_now, utilization) => void told.push(utilization) }) }
}
