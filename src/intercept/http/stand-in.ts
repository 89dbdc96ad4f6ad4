import type { AgentOptions, ClientRequest } from 'node:http'
import { http, https } from '../node-http.ts'
import type { RequestAgent, RequestOptions } from './agent-contract.ts'

/** An agent that takes some requests and leaves the others. */
interface Taker {
  /** Whether it takes the request. */
  take(request: ClientRequest, options: RequestOptions): boolean
}

/**
 * Fits an agent to stand where Node's global agent stood, for what Node and applications do there besides sending requests by it.
 *
 * - What an application sets, such as `options.ca` or `maxSockets`, is set on the agent outside, whose connections it is for.
 * - Node makes an agent for a single request (`agent: false`) by the global agent's `constructor`. That one leaves requests to services to the mesh, without
 *   keeping their connections, and gives any other a connection of its own, as ever.
 */
export function standIn(agent: Taker, outside: RequestAgent, secure: boolean): void {
  Object.defineProperties(agent, {
    options: { value: new Proxy(outside.options, TIMELESS), writable: true, enumerable: true, configurable: true },
    maxSockets: limitOf(outside, 'maxSockets'),
    maxFreeSockets: limitOf(outside, 'maxFreeSockets'),
    maxTotalSockets: limitOf(outside, 'maxTotalSockets'),
    constructor: { value: singleAgents(agent, secure), writable: true, configurable: true },
  })
}

/** Requests take a timeout from their agent, and that of Node's own is for connections that are not ours. */
const TIMELESS: ProxyHandler<AgentOptions> = {
  get: (options, name) => (name === 'timeout' ? undefined : Reflect.get(options, name)),
}

function limitOf(outside: RequestAgent, name: 'maxSockets' | 'maxFreeSockets' | 'maxTotalSockets'): PropertyDescriptor {
  return {
    get: () => outside[name],
    set: (limit: number) => {
      outside[name] = limit
    },
    enumerable: true,
    configurable: true,
  }
}

function singleAgents(meshed: Taker, secure: boolean): new (options?: AgentOptions) => RequestAgent {
  const Own = (secure ? https.Agent : http.Agent) as unknown as new (options?: AgentOptions) => RequestAgent
  return class Agent extends Own {
    override addRequest(request: ClientRequest, options: RequestOptions): void {
      if (!meshed.take(request, options)) super.addRequest(request, options)
    }
  }
}
