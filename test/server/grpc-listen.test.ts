import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { streamOf } from '../../src/server/grpc-inside.ts'
import { listenGrpc } from '../../src/server/grpc-listen.ts'
import { identityOf } from '../../src/server/secure-connection.ts'
import type { TlsMode } from '../../src/server/secure-listener.ts'
import { Trial, type TrialClient, trialHandlers } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'
import { settle } from '../support/virtual-time.ts'
import { makeIdentity } from '../tls/trial-identities.ts'
import { CLIENT_ID, type SecurityTrial, trialSecurity, until } from './trial-security.ts'

describe('a server of grpc-js', () => {
  test('serves callers in plaintext and with an identity on one port', async (t) => {
    const { port, calls, trial } = await serve(t)

    await ask(plainClient(t, port))
    await ask(meshedClient(t, port, trial))

    assert.deepEqual(
      calls.map(({ identity }) => identity),
      [undefined, CLIENT_ID],
    )
    for (const { peer } of calls) assert.match(peer, /^127\.0\.0\.1:\d+$/)
  })

  test('that is strict tells callers in plaintext why it refuses them', async (t) => {
    const { port, trial } = await serve(t, 'strict')

    await assert.rejects(ask(plainClient(t, port)), /not secure enough|error code 12/)
    await ask(meshedClient(t, port, trial))

    assert.match(trial.seen[0] ?? '', /^server plaintext_refused /)
  })

  test('is told when its port is taken', async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    cleanup(t, () => taken.close())
    const { port } = taken.address() as { port: number }

    await assert.rejects(listenGrpc(trialSecurity(t).security, new grpc.Server(), { port, host: '127.0.0.1' }), {
      code: 'EADDRINUSE',
    })
  })

  test('finishes what is under way when it shuts down, and listens no more', async (t) => {
    const { server, port, held, trial } = await serve(t)
    const client = meshedClient(t, port, trial)
    const answer = ask(client, 'read')
    await until(() => held.length > 0)

    const shut = new Promise<Error | undefined>((resolve) => server.tryShutdown(resolve))
    await settle()
    await assert.rejects(ask(plainClient(t, port)), { code: grpc.status.UNAVAILABLE })
    held[0]?.()

    await answer
    assert.equal(await shut, undefined)
  })

  test('sends GOAWAY after a rotation, and finishes what is under way', async (t) => {
    const { port, trial, held } = await serve(t)
    const client = meshedClient(t, port, trial)
    const answer = ask(client, 'read')
    await until(() => held.length > 0)

    trial.source.identity(makeIdentity(trial.root, '/ns/emojivoto/sa/voting'))
    trial.clock.advance(60_000)
    await ask(client)
    held[0]?.()

    await answer
    assert.equal(trial.seen.filter((text) => text === 'accepted mtls').length, 2)
  })
})

async function serve(t: TestContext, mode?: TlsMode) {
  const trial = trialSecurity(t, mode)
  const calls: { identity: string | undefined; peer: string }[] = []
  const held: (() => void)[] = []
  const noting: grpc.ServerInterceptor = (_, next) => {
    calls.push({ identity: identityOf(streamOf(next)?.session?.socket), peer: next.getPeer() })
    return new grpc.ServerInterceptingCall(next)
  }
  const server = new grpc.Server({ interceptors: [noting] })
  const handlers = trialHandlers('a')
  server.addService(Trial.service, {
    ...handlers,
    read: (_: unknown, respond: (error: null, value: object) => void) => void held.push(() => respond(null, {})),
  } as never)
  const port = await listenGrpc(trial.security, server, { port: 0, host: '127.0.0.1' })
  cleanup(t, () => server.forceShutdown())
  return { trial, server, port, calls, held }
}

function plainClient(t: TestContext, port: number): TrialClient {
  const client = new Trial(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  cleanup(t, () => client.close())
  return client
}

function meshedClient(t: TestContext, port: number, { caller }: SecurityTrial): TrialClient {
  const options = { rejectUnauthorized: false, checkServerIdentity: () => undefined }
  const credentials = grpc.credentials.createFromSecureContext(caller.secureContext, options)
  const client = new Trial(`127.0.0.1:${port}`, credentials, { 'grpc.ssl_target_name_override': 'voting' })
  cleanup(t, () => client.close())
  return client
}

function ask(client: TrialClient, method: 'empty' | 'read' = 'empty'): Promise<object> {
  return new Promise((resolve, reject) => {
    client[method]({}, (error: grpc.ServiceError | null, value?: object) => (error ? reject(error) : resolve(value ?? {})))
  })
}
