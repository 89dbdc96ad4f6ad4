import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import type { Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { type Runtime, systemClock, systemRandom } from '../../src/core/clock.ts'
import { openGate } from '../../src/core/gate.ts'
import { Service } from '../../src/core/service.ts'
import { StallMeter } from '../../src/core/stall.ts'
import { MeshAgent } from '../../src/intercept/http/agent.ts'
import { infiniteBudget } from '../../src/resilience/retry-budget.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { routeTable } from '../../src/routing/route-table.ts'
import { router } from '../../src/routing/router.ts'
import { CallWatch } from './call-watch.ts'
import { AT_ONCE, type EngineOptions, inOrder } from './engine.ts'
import { cleanup } from './servers.ts'

export interface AgentEngineOptions extends Omit<EngineOptions, 'protocol' | 'observer' | 'budget'> {
  readonly secure?: boolean
  /** Default: the machine's own time and chance. */
  readonly runtime?: Runtime
}

/** The engine and its door for node:http, without the mesh around them. */
export interface AgentEngine {
  readonly agent: MeshAgent
  readonly service: Service
  readonly watch: CallWatch
  /** Origins of calls that were not ours. */
  readonly egress: string[]
  /** Replaces the set of endpoints. */
  update(addresses: EngineOptions['addresses']): void
}

/** A service `voting` behind an agent; closed with the test, which fails when something is left in flight. */
export function agentEngine(t: TestContext, options: AgentEngineOptions): AgentEngine {
  const runtime = options.runtime ?? { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const watch = new CallWatch()
  const stalls = new StallMeter(runtime.clock)
  const service = new Service({
    name: 'voting',
    runtime,
    balancer: options.balancer ?? inOrder,
    gate: options.gate ?? (() => openGate),
    budget: infiniteBudget,
    stalls,
    observer: watch,
    breaker: options.breaker?.(runtime),
  })
  const update = (addresses: EngineOptions['addresses']) =>
    service.update(
      addresses.map((address) => ({
        host: '127.0.0.1',
        ...(typeof address === 'number' ? { port: address } : { port: address.port }),
        ...('host' in Object(address) ? (address as object) : {}),
      })),
    )
  if (options.addresses.length > 0) update(options.addresses)
  const retry = (options.retry ?? AT_ONCE)(runtime, infiniteBudget)
  const { timeoutMs = 0, perTryTimeoutMs = 0, connectTimeoutMs = 1_000, tls, identity } = options
  const table = routeTable(service, { retry, timeoutMs, perTryTimeoutMs })
  const egress: string[] = []
  const agent = new MeshAgent({
    name: '',
    runtime,
    router: router({ configured: new Set(['voting']), implicit: () => false, make: () => table }),
    connection: () => ({ connectTimeoutMs, h2c: false, allowH2: false, tls, identity }),
    egress: (origin) => void egress.push(origin),
    secure: options.secure ?? false,
  })
  cleanup(t, async () => {
    await agent.close()
    service.close()
    stalls.stop()
    watch.assertDone()
    assert.equal(service.inFlight, 0, 'attempts in flight')
    for (const endpoint of service.endpoints) assert.equal(endpoint.inFlight, 0, `attempts in flight on ${endpoint.name}`)
  })
  return { agent, service, watch, egress, update }
}

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly reusedSocket: boolean
}

/** Sends a request to `voting` and reads the answer; resolves once the request is 'close'd. */
export function send(agent: MeshAgent, options: https.RequestOptions = {}, body?: string): Promise<Answer> {
  return answerOf(start(agent, options, body))
}

/** Begins a request to `voting`. */
export function start(agent: MeshAgent, options: https.RequestOptions = {}, body?: string): http.ClientRequest {
  const { request } = isSecure(agent) ? https : http
  const made = request({ host: 'voting', agent, ...options })
  made.end(body)
  return made
}

function isSecure(agent: http.Agent): boolean {
  return (agent as { protocol?: string }).protocol === 'https:'
}

/** The whole answer, once the request is 'close'd and its connection free; rejects with the first error. */
export function answerOf(request: http.ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let answer: Answer | undefined
    request.once('error', reject)
    request.once('response', (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        body += chunk
      })
      response.once('error', reject)
      response.once('end', () => {
        answer = { status: response.statusCode ?? 0, headers: response.headers, body, reusedSocket: request.reusedSocket }
      })
    })
    request.once('close', () => {
      // The connection is free only after the listeners of 'close'.
      setImmediate(() => (answer === undefined ? reject(new Error('closed without an answer')) : resolve(answer)))
    })
  })
}

/** The error that a request ends with; resolves once it is 'close'd. */
export function failureOf(request: http.ClientRequest): Promise<NodeJS.ErrnoException> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    const note = (error: Error) => {
      failure ??= error
    }
    request.once('response', (response) => response.once('error', note).resume())
    request.on('error', note)
    request.once('close', () => {
      setImmediate(() => (failure === undefined ? reject(new Error('closed without an error')) : resolve(failure)))
    })
  })
}

/** The next socket that a server accepts. */
export function accepted(server: { readonly server: NodeJS.EventEmitter }): Promise<Socket> {
  return new Promise((resolve) => server.server.once('connection', resolve))
}
