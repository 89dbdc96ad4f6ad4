import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import type { Dispatcher } from 'undici'
import { systemClock } from '../../src/core/clock.ts'
import { Endpoint } from '../../src/core/endpoint.ts'
import { openGate } from '../../src/core/gate.ts'
import { unmetered } from '../../src/core/load.ts'
import type { Connection } from '../../src/transport/connection.ts'
import { EndpointPool } from '../../src/transport/endpoint-pool.ts'
import { until } from '../support/engine.ts'
import { cleanup, serve, type TestServer } from '../support/servers.ts'

function pool(t: TestContext, { port }: TestServer): EndpointPool {
  const endpoint = new Endpoint({ host: '127.0.0.1', port }, 0, unmetered, openGate)
  const options = { connectTimeoutMs: 1_000, h2c: false, allowH2: true, tls: undefined }
  const made = new EndpointPool('http://voting', endpoint, options, systemClock)
  cleanup(t, () => made.close())
  return made
}

class Passenger implements Dispatcher.DispatchHandler {
  connection: Connection | undefined
  readonly over: Promise<string>
  #done: (outcome: string) => void = () => {}

  constructor() {
    this.over = new Promise((resolve) => {
      this.#done = resolve
    })
  }

  onRequestStart(): void {}
  onResponseStart(): void {}
  onResponseData(): void {}

  onResponseEnd(): void {
    this.connection?.answered(systemClock.now())
    this.#done('answered')
  }

  onResponseError(_controller: unknown, error: Error): void {
    this.connection?.failed()
    this.#done(error.message)
  }
}

const GET = { path: '/', method: 'GET' } as const

test('tells a request on which connection it travels, and how often that has served', async (t) => {
  const server = await serve(t, (_req, res) => res.end())
  const endpoint = pool(t, server)
  const passenger = new Passenger()

  endpoint.dispatch(GET, passenger)
  assert.equal(passenger.connection?.busy, 1)
  assert.equal(await passenger.over, 'answered')

  const { connection } = passenger
  assert.deepEqual([connection?.busy, connection?.served], [0, 1])
  assert.ok((connection?.idleSince as number) > 0)
})

test('forgets how often a connection has served once its socket is gone', async (t) => {
  const server = await serve(t, (_req, res) => res.end())
  const endpoint = pool(t, server)
  const passenger = new Passenger()
  endpoint.dispatch(GET, passenger)
  await passenger.over

  for (const socket of server.connections) socket.destroy()

  await until(() => passenger.connection?.served === 0)
})

test('finishes what is in flight before it closes, as often as it is asked to', async (t) => {
  const held: (() => void)[] = []
  const server = await serve(t, (_req, res) => void held.push(() => res.end()))
  const endpoint = pool(t, server)
  const passenger = new Passenger()
  endpoint.dispatch(GET, passenger)
  await until(() => held.length === 1)

  const closing = [endpoint.close(), endpoint.close()]
  held[0]?.()

  assert.equal(await passenger.over, 'answered')
  await Promise.all(closing)
  await server.idle()
})

test('takes no request when it is closed', async (t) => {
  const server = await serve(t, (_req, res) => res.end())
  const endpoint = pool(t, server)
  await endpoint.close()
  const passenger = new Passenger()

  endpoint.dispatch(GET, passenger)

  assert.equal(await passenger.over, 'The client is destroyed')
})

test('fails what is in flight when it is destroyed, also when it was closing', async (t) => {
  const server = await serve(t, () => {})
  const endpoint = pool(t, server)
  const passenger = new Passenger()
  endpoint.dispatch(GET, passenger)
  await once(server.server, 'request')
  const closing = endpoint.close()

  await endpoint.destroy(new Error('mine'))

  assert.equal(await passenger.over, 'mine')
  await closing
  await endpoint.close()
  await server.idle()
})
