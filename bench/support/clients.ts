import http from 'node:http'
import axios from 'axios'
import * as cockatiel from 'cockatiel'
import got from 'got'
import CircuitBreaker from 'opossum'
import pRetry from 'p-retry'
import { Agent, request } from 'undici'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh } from '../../src/index.ts'

/** One way of making a GET, whole: it resolves once the body is read. */
export interface Client {
  readonly name: string
  /** The client whose cost it is compared with. */
  readonly pair: string
  readonly get: () => Promise<unknown>
}

export interface Clients {
  readonly list: readonly Client[]
  readonly close: () => Promise<void>
}

/**
 * Every client with keep-alive and the same three ports. A mesh balances over them; the others take them in turn, each
 * over pools or agents of its own kind with the defaults of its package.
 */
export function makeClients(ports: readonly number[]): Clients {
  const origins = ports.map((port) => `http://127.0.0.1:${port}/`)
  let turn = 0
  const next = <T>(list: readonly T[]): T => list[turn++ % list.length] as T

  const mesh = createMesh({ services: { bench: { discovery: staticEndpoints(ports.map((port) => `127.0.0.1:${port}`)) } } })
  const dispatcher = new Agent()
  const agent = new http.Agent({ keepAlive: true })
  const gotten = got.extend({ agent: { http: agent } })
  const viaAxios = axios.create({ httpAgent: agent })

  const undiciRequest = async (url: string) => (await request(url, { dispatcher })).body.text()
  const breaker = new CircuitBreaker((url: string) => pRetry(() => undiciRequest(url), { retries: 1 }), { timeout: false })
  const policy = cockatiel.wrap(
    cockatiel.retry(cockatiel.handleAll, { maxAttempts: 1, backoff: new cockatiel.ExponentialBackoff() }),
    cockatiel.circuitBreaker(cockatiel.handleAll, { halfOpenAfter: 1_000, breaker: new cockatiel.ConsecutiveBreaker(7) }),
  )
  const plain = ports.map((port): http.RequestOptions => ({ host: '127.0.0.1', port, agent }))
  const meshed: http.RequestOptions = { host: 'bench', agent: mesh.httpAgent }

  return {
    list: [
      { name: 'undici.request', pair: 'undici.request', get: () => undiciRequest(next(origins)) },
      { name: 'undici.request again', pair: 'undici.request', get: () => undiciRequest(next(origins)) },
      { name: 'mesh.request', pair: 'undici.request', get: async () => (await mesh.request('http://bench/')).body.text() },
      { name: 'opossum(p-retry(undici))', pair: 'undici.request', get: () => breaker.fire(next(origins)) },
      { name: 'cockatiel(undici)', pair: 'undici.request', get: () => policy.execute(() => undiciRequest(next(origins))) },
      { name: 'global fetch', pair: 'global fetch', get: async () => (await fetch(next(origins))).text() },
      { name: 'mesh.fetch', pair: 'global fetch', get: async () => (await mesh.fetch('http://bench/')).text() },
      { name: 'node:http', pair: 'node:http', get: () => httpGet(next(plain)) },
      { name: 'mesh.httpAgent', pair: 'node:http', get: () => httpGet(meshed) },
      { name: 'got', pair: 'node:http', get: () => gotten(next(origins)).text() },
      { name: 'axios', pair: 'node:http', get: () => viaAxios.get(next(origins)) },
    ],
    async close() {
      agent.destroy()
      await Promise.all([mesh.close(), dispatcher.close()])
    },
  }
}

function httpGet(options: http.RequestOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get(options, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.on('end', () => resolve(body))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
