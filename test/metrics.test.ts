import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import https from 'node:https'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Agent, request } from 'undici'
import { systemClock } from '../src/core/clock.ts'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh } from '../src/index.ts'
import { inmeshHttp, type ServedListener } from '../src/server/node-http.ts'
import { families } from '../src/telemetry/families.ts'
import { GoldenMetrics } from '../src/telemetry/golden-metrics.ts'
import { cleanup, serve, serveH2, serveTls } from './support/servers.ts'

const page = readFileSync(join(import.meta.dirname, '../docs/metrics.md'), 'utf8')
/** The rows of the tables whose first cell is a metric's name. */
const documented = [...page.matchAll(/^\| `([a-z_.]+)` \| ([CSGH]), `([^`]+)` \|/gm)].map(
  ([, name, kind, unit]) => `${name} ${kind} ${unit}`,
)
const KINDS = { counter: 'C', sum: 'S', gauge: 'G', histogram: 'H' }

test('docs/metrics.md names every metric that is exported, with its type and unit, and no other', () => {
  const exported = families(new GoldenMetrics(systemClock)).map(({ name, kind, unit }) => `${name} ${KINDS[kind]} ${unit}`)

  assert.deepEqual(documented.sort(), exported.sort())
})

test('docs/metrics.md names every attribute', () => {
  const folder = join(import.meta.dirname, '../src/telemetry')
  const sources = readdirSync(folder).map((file) => readFileSync(join(folder, file), 'utf8'))
  const names = sources.flatMap((text) => text.match(/'(?:mesh|http|rpc|grpc|server|url|error|otel)\.[a-z_.]+'/g) ?? [])

  const missing = [...new Set(names)].map((name) => name.slice(1, -1)).filter((name) => !page.includes(`\`${name}\``))
  assert.ok(names.length > 20)
  assert.deepEqual(missing, [])
})

async function caller(t: TestContext) {
  const { port } = await serve(t, (_, response) => response.end())
  const mesh = createMesh({ services: { voting: { discovery: staticEndpoints([`127.0.0.1:${port}`]), retry: 'off' } } })
  cleanup(t, () => mesh.close())
  return mesh
}

test('tells the port that the application called, or the default of its scheme', async (t) => {
  const mesh = await caller(t)

  await mesh.fetch('http://voting:8080/')
  await mesh.fetch('http://voting/')
  await assert.rejects(mesh.fetch('https://voting/'))
  await assert.rejects(new Promise((_, reject) => https.get({ host: 'voting', agent: mesh.httpsAgent }).on('error', reject)))

  const counted = [...mesh.prometheus().matchAll(/^http_client_request_duration_seconds_count\{(.*)\} (\d+)$/gm)].map(
    ([, labels, count]) => `${/server_port="(\d+)"/.exec(labels as string)?.[1]} ${count}`,
  )
  assert.deepEqual(counted, ['8080 1', '80 1', '443 2'])
})

test('tells the scheme and the route of what is served, over TLS and HTTP/2, too', async (t) => {
  const mesh = createMesh()
  cleanup(t, () => mesh.close())
  const handler = inmeshHttp({ mesh }, (request, response) => {
    request.mesh.route = '/h1'
    response.end()
  })
  const second: ServedListener<Http2ServerRequest, Http2ServerResponse> = (request, response) => {
    request.mesh.route = '/h2'
    response.end()
  }
  const servers = [await serve(t, handler), await serveTls(t, handler), await serveH2(t, inmeshHttp({ mesh }, second))]
  const outside = new Agent({ connect: { rejectUnauthorized: false }, allowH2: true })
  cleanup(t, () => outside.close())

  for (const { origin } of servers) {
    await (await request(origin, { dispatcher: outside })).body.dump()
  }
  await new Promise<void>((resolve) => mesh.inbound.whenIdle(resolve))

  const counted = [...mesh.prometheus().matchAll(/^http_server_request_duration_seconds_count\{(.*)\} (\d+)$/gm)].map(
    ([, labels = '', count]) => `${/url_scheme="(\w+)"/.exec(labels)?.[1]} ${/http_route="([^"]+)"/.exec(labels)?.[1]} ${count}`,
  )
  assert.deepEqual(counted.sort(), ['http /h1 1', 'https /h1 1', 'https /h2 1'])
})
