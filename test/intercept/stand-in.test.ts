import assert from 'node:assert/strict'
import http from 'node:http'
import https from 'node:https'
import { describe, test } from 'node:test'
import type { MeshAgent } from '../../src/intercept/http/agent.ts'
import { type Answer, agentEngine, answerOf, send } from '../support/agent-engine.ts'
import { serve, serveTls, testCertificate } from '../support/servers.ts'

describe('an agent where the global one stood', () => {
  test('lets Node make an agent for a single request, which goes to a service all the same', async (t) => {
    const server = await serve(t, (request, response) => response.end(`${request.headers.host} ${request.headers.connection}`))
    const { agent, watch, egress } = agentEngine(t, { addresses: [server] })

    const first = await alone(http, agent, { host: 'voting' })
    const second = await alone(http, agent, { host: 'voting' })

    assert.deepEqual([first.body, second.body], ['voting close', 'voting close'])
    assert.deepEqual([first.reusedSocket, second.reusedSocket], [false, false])
    assert.equal(server.accepted(), 2)
    assert.deepEqual([watch.calls.length, egress.length], [2, 0])
  })

  for (const secure of [false, true]) {
    test(`gives such a request a connection of its own to any other host, ${secure ? 'with' : 'without'} TLS`, async (t) => {
      const server = await (secure ? serveTls : serve)(t, (request, response) => response.end(request.headers.connection))
      const { agent, egress } = agentEngine(t, { addresses: [], secure })
      const options = { host: '127.0.0.1', port: server.port, ...(secure && { ca: testCertificate.cert, servername: 'voting' }) }

      const first = await alone(secure ? https : http, agent, options)
      const second = await alone(secure ? https : http, agent, options)

      assert.deepEqual([first.body, second.body, second.reusedSocket], ['close', 'close', false])
      assert.equal(egress.length, 2)
    })
  }

  test('lets the application make agents of the same class', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [] })

    const Own = agent.constructor as typeof http.Agent
    const own = new Own({ keepAlive: true })
    const first = await answerOf(http.get({ host: '127.0.0.1', port: server.port, agent: own }))
    const second = await answerOf(http.get({ host: '127.0.0.1', port: server.port, agent: own }))
    own.destroy()

    assert.ok(own instanceof http.Agent)
    assert.deepEqual([first.reusedSocket, second.reusedSocket], [false, true])
  })

  test("hands what the application sets on it to Node's own, and takes it back", async (t) => {
    const server = await serveTls(t, (_, response) => response.end('secret'))
    const { agent } = agentEngine(t, { addresses: [], secure: true })
    const options = { host: '127.0.0.1', port: server.port, servername: 'voting' }

    optionsOf(agent).ca = testCertificate.cert
    const trusted = await send(agent, options).finally(() => delete optionsOf(agent).ca)
    https.globalAgent.destroy()

    assert.equal(trusted.body, 'secret')
    assert.equal(https.globalAgent.options.ca, undefined)
    await assert.rejects(send(agent, options), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  })

  test('has its limits for connections that are not ours', async (t) => {
    const server = await serve(t, (_, response) => response.end())
    const { agent } = agentEngine(t, { addresses: [] })
    const before = http.globalAgent.maxSockets

    agent.maxSockets = 1
    const limited = http.globalAgent.maxSockets
    const options = { host: '127.0.0.1', port: server.port }
    await Promise.all([send(agent, options), send(agent, options)]).finally(() => (agent.maxSockets = before))
    http.globalAgent.destroy()

    assert.deepEqual([limited, agent.maxSockets, http.globalAgent.maxSockets], [1, before, before])
    assert.equal(server.accepted(), 1)
  })

  test("does not give requests to services the timeout of Node's own", (t) => {
    const { agent } = agentEngine(t, { addresses: [] })

    assert.equal(optionsOf(agent).timeout, undefined)
    assert.equal(optionsOf(http.globalAgent).timeout, 5_000)
  })
})

/** Sends a request with `agent: false`, while the agent is the global one. */
function alone(door: typeof http | typeof https, agent: MeshAgent, options: https.RequestOptions): Promise<Answer> {
  const before = door.globalAgent
  door.globalAgent = agent as unknown as https.Agent
  const request = door.get({ ...options, agent: false })
  door.globalAgent = before as https.Agent
  return answerOf(request)
}

/** Node's types leave an agent's options out. */
function optionsOf(agent: object): https.AgentOptions {
  return (agent as { options: https.AgentOptions }).options
}
