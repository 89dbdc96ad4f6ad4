import assert from 'node:assert/strict'
import diagnosticsChannel from 'node:diagnostics_channel'
import http, { type IncomingHttpHeaders } from 'node:http'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { currentContext, type Mesh } from '../src/index.ts'
import { answerOf } from './support/agent-engine.ts'
import { answer } from './support/grpc-engine.ts'
import { serveGrpc } from './support/grpc-servers.ts'
import { type Answer, Trial } from './support/grpc-trial.ts'
import { callerOf, grpcService, type Hop, httpService } from './support/meshed-services.ts'
import { cleanup, serve } from './support/servers.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const TRACEPARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`
const TRACED = { traceparent: TRACEPARENT, tracestate: 'rojo=00f067aa0ba902b7' }
const OWN = '00-11111111111111111111111111111111-2222222222222222-00'

test('one trace goes from HTTP to gRPC to HTTP, and nobody passed it on', async (t) => {
  const seen: (string | undefined)[] = []
  const last = await httpService(t, 'last', undefined, () => ({ mesh }, response) => {
    seen.push(`last ${mesh.traceId} ${mesh.tracestate}`)
    response.end('done')
  })
  const voting = await grpcService(t, 'voting', last, async ({ mesh }) => {
    seen.push(`voting ${currentContext()?.traceId} ${currentContext()?.tracestate}`)
    return (await mesh.fetch('http://next/')).text()
  })
  const web = await httpService(t, 'web', voting, ({ ask }) => async (request, response) => {
    seen.push(`web ${request.mesh.traceId} ${request.mesh.tracestate}`)
    response.end((await ask()).server)
  })

  const { mesh } = callerOf(t, 'browser', web)
  const text = await (await mesh.fetch('http://next/', { headers: TRACED })).text()

  assert.equal(text, 'done')
  assert.deepEqual(
    seen,
    ['web', 'voting', 'last'].map((hop) => `${hop} ${TRACE_ID} ${TRACED.tracestate}`),
  )
})

/** A call of the application's to `next`, with headers of its own, through one of the doors. */
type Call = (t: TestContext, hop: Hop, own: Readonly<Record<string, string>>, port: number) => Promise<unknown>
type Told = { readonly traceparent?: string; readonly tracestate?: string }

const httpDoors: Readonly<Record<string, Call>> = {
  fetch: async (_, { mesh }, headers) => (await mesh.fetch('http://next/', { headers })).text(),
  'undici.request': async (_, { mesh }, headers) => (await mesh.request('http://next/', { headers })).body.text(),
  'node:http': (_, { mesh }, headers) => answerOf(http.get({ host: 'next', agent: mesh.httpAgent, headers })),
}
const grpcDoors: Readonly<Record<string, Call>> = {
  'a client of grpc-js': (_, { ask }, own) => ask(metadataOf(own)),
  'an interceptor of grpc-js': (t, { mesh }, own, port) => askIntercepted(t, mesh, port, metadataOf(own)),
}

function askIntercepted(t: TestContext, mesh: Mesh, port: number, metadata: grpc.Metadata): Promise<Answer> {
  const client = new Trial(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    interceptors: [mesh.grpcInterceptor('next')],
  })
  cleanup(t, () => client.close())
  return answer<Answer>((done) => client.ask({}, metadata, done))
}

function metadataOf(headers: Readonly<Record<string, string>>): grpc.Metadata {
  return grpc.Metadata.fromHttp2Headers(headers)
}

/** Has a server that is asked with `headers` make a call with `own`, and resolves to what the next one was told of its trace. */
type Relay = (t: TestContext, call: Call, headers: Readonly<Record<string, string>>, own?: Told) => Promise<Told | undefined>

const overHttp: Relay = async (t, call, headers, own = {}) => {
  const told: Told[] = []
  const { port } = await serve(t, (request, response) => {
    told.push(request.headers as Told)
    response.end()
  })
  await relay(t, port, call, headers, own)
  return told[0]
}

const overGrpc: Relay = async (t, call, headers, own = {}) => {
  const { port, metadata } = await serveGrpc(t)
  await relay(t, port, call, headers, own)
  return metadata[0]?.getMap() as Told
}

async function relay(t: TestContext, next: number, call: Call, headers: Readonly<Record<string, string>>, own: Told) {
  const web = await httpService(t, 'web', next, (hop) => async (_, response) => {
    await call(t, hop, own as Readonly<Record<string, string>>, next)
    response.end()
  })
  assert.equal((await callerOf(t, 'browser', web).mesh.fetch('http://next/', { headers })).status, 200)
}

for (const [doors, over] of [
  [httpDoors, overHttp],
  [grpcDoors, overGrpc],
] as const) {
  for (const [door, call] of Object.entries(doors)) {
    describe(`a call made by ${door} while serving a request`, () => {
      test('carries the trace of the request', async (t) => {
        const told = await over(t, call, TRACED)

        assert.deepEqual([told?.traceparent, told?.tracestate], [TRACED.traceparent, TRACED.tracestate])
      })

      test('carries the trace that the application has given it instead', async (t) => {
        const told = await over(t, call, TRACED, { traceparent: OWN })

        assert.deepEqual([told?.traceparent, told?.tracestate], [OWN, undefined])
      })

      test('carries nothing of a malformed one', async (t) => {
        const told = await over(t, call, { ...TRACED, traceparent: TRACEPARENT.toUpperCase() })

        assert.deepEqual([told?.traceparent, told?.tracestate], [undefined, undefined])
      })

      test('carries none when the request has none', async (t) => {
        const told = await over(t, call, {})

        assert.deepEqual([told?.traceparent, told?.tracestate], [undefined, undefined])
      })
    })
  }
}

test('a call leaves the trace to whoever adds headers to undici’s requests', async (t) => {
  const inject = (message: unknown) => {
    const { request } = message as { request: { addHeader(name: string, value: string): void } }
    request.addHeader('traceparent', OWN)
  }
  const call: Call = async (_, { mesh }) => {
    diagnosticsChannel.subscribe('undici:request:create', inject)
    await (await mesh.fetch('http://next/')).text()
    diagnosticsChannel.unsubscribe('undici:request:create', inject)
  }

  assert.equal((await overHttp(t, call, TRACED))?.traceparent, OWN)
})

test('the application’s metadata stays as it was', async (t) => {
  const metadata = new grpc.Metadata()

  const asked = await overGrpc(t, (_, { ask }) => ask(metadata), TRACED)
  const intercepted = await overGrpc(t, (test, { mesh }, _, port) => askIntercepted(test, mesh, port, metadata), TRACED)

  assert.deepEqual([asked?.traceparent, intercepted?.traceparent], [TRACEPARENT, TRACEPARENT])

  assert.deepEqual(metadata.getMap(), {})
})

test('a call made outside of any request carries no trace', async (t) => {
  const told: IncomingHttpHeaders[] = []
  const { port } = await serve(t, (request, response) => {
    told.push(request.headers)
    response.end()
  })

  await (await callerOf(t, 'cron', port).mesh.fetch('http://next/')).text()

  assert.equal('traceparent' in (told[0] ?? {}), false)
})
