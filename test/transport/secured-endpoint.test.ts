import assert from 'node:assert/strict'
import { once } from 'node:events'
import { describe, type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Runtime } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { readRevocations } from '../../src/tls/crl.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { SecuredEndpoint, securedEndpoint } from '../../src/transport/secured-endpoint.ts'
import { until } from '../support/engine.ts'
import { type IdentityChanges, identityOf, meshed, ROOT, serveMeshed, VOTING, WEB } from '../support/meshed.ts'
import { cleanup } from '../support/servers.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { time } from '../tls/der-writer.ts'
import { HOUR, type Made } from '../tls/test-certificates.ts'
import { makeList } from '../tls/test-revocation-list.ts'

interface Trial {
  readonly web?: IdentityChanges
  readonly voting?: IdentityChanges
  readonly revocations?: Revocations
  readonly random?: () => number
}

async function trial(t: TestContext, { web, voting, revocations, random = () => 0.5 }: Trial = {}) {
  const server = await serveMeshed(t, identityOf(VOTING, voting), (_request, response) => response.end())
  const clock = new VirtualClock()
  clock.epoch = Date.now()
  const runtime: Runtime = { clock, random, retryLoop: retryLoop(clock) }
  const mesh = meshed(t, { runtime, identity: identityOf(WEB, web), ...(revocations === undefined ? {} : { revocations }) })
  const renewals: number[] = []
  const endpoint = new SecuredEndpoint({ host: '127.0.0.1', port: server.port, identity: VOTING }, mesh, () =>
    renewals.push(clock.now()),
  )
  cleanup(t, () => endpoint.close())
  const dial = () =>
    new Promise<TLSSocket>((resolve, reject) => {
      const secured = (socket: TLSSocket) => {
        cleanup(t, () => socket.destroy())
        resolve(socket)
      }
      endpoint.dial({}, 'http/1.1', { secured, failed: reject })
    })
  return { clock, mesh, renewals, endpoint, dial, server }
}

describe('connections are renewed', () => {
  test('within 30 s of a new identity, at random, and only those made before', async (t) => {
    const { mesh, clock, renewals, endpoint, dial } = await trial(t)
    const old = await dial()

    mesh.source.identity(identityOf(WEB))
    assert.equal(endpoint.isWorn(old), false)
    clock.advance(14_999)
    assert.deepEqual(renewals, [])
    clock.advance(1)

    assert.deepEqual(renewals, [15_000])
    assert.equal(endpoint.isWorn(old), true)
    assert.equal(endpoint.isWorn(await dial()), false)
  })

  test('sooner when the old identity is about to expire', async (t) => {
    const { mesh, clock, renewals, dial } = await trial(t, { web: { lifeMs: 6_000 } })
    await dial()

    mesh.source.identity(identityOf(WEB))
    clock.advance(1_500)

    assert.equal(renewals.length, 1)
  })

  test('once for several new identities, at the time of the first', async (t) => {
    const { mesh, clock, renewals, dial } = await trial(t)
    await dial()

    for (let i = 0; i < 4; i++) {
      mesh.source.identity(identityOf(WEB))
      clock.advance(5_000)
    }

    assert.deepEqual(renewals, [15_000])
  })

  test('also when the new identity came while they were made', async (t) => {
    const { mesh, clock, renewals, dial } = await trial(t)
    const dialled = dial()

    mesh.source.identity(identityOf(WEB))
    await dialled
    clock.advance(15_000)

    assert.deepEqual(renewals, [15_000])
  })

  test("before the other end's certificate expires, when it will have a newer one", async (t) => {
    const { clock, renewals, dial } = await trial(t, { voting: { lifeMs: 10 * HOUR } })
    await dial()

    clock.advance(8 * HOUR)
    assert.deepEqual(renewals, [])
    clock.advance(0.5 * HOUR)

    assert.equal(renewals.length, 1)
  })

  test('not when there are none', async (t) => {
    const { mesh, clock, renewals, dial } = await trial(t)
    const socket = await dial()
    socket.destroy()
    await once(socket, 'close')

    mesh.source.identity(identityOf(WEB))
    clock.advance(24 * HOUR)

    assert.deepEqual(renewals, [])
  })

  test('no more when the endpoint is left, and nothing is left behind', async (t) => {
    const { mesh, clock, renewals, endpoint, dial } = await trial(t)
    const socket = await dial()

    endpoint.close()
    mesh.source.identity(identityOf(WEB))
    clock.advance(24 * HOUR)

    assert.deepEqual(renewals, [])
    assert.equal(clock.pending, 0)
    assert.equal(socket.destroyed, false)
  })
})

describe('connections are cut', () => {
  test('at once when the identity of the other end is denied, even those of an endpoint that was left', async (t) => {
    const revocations = new Revocations()
    const { endpoint, dial } = await trial(t, { revocations })
    const [socket, other] = [await dial(), await dial()]
    const errors: Error[] = []
    for (const one of [socket, other]) one.on('error', (error) => errors.push(error))
    endpoint.close()

    revocations.replace({ ids: [WEB] })
    assert.equal(socket.destroyed, false)
    revocations.replace({ ids: [VOTING] })

    assert.deepEqual([socket.destroyed, other.destroyed], [true, true])
    await until(() => errors.length === 2)
    assert.match(errors[0]?.message ?? '', /^127.0.0.1:\d+: .* of spiffe:.*voting: this identity is on the deny-list: /)
    await assert.rejects(dial(), /deny-list/)
  })
})

test('connections are cut within a second when a list revokes the certificate of the other end', async (t) => {
  const revocations = new Revocations()
  const serial = Buffer.from([1, 2, 3])
  const { clock, dial } = await trial(t, { revocations, voting: { recipe: { serial } } })
  const socket = await dial()
  const [from, to] = [time(Date.now() - HOUR), time(Date.now() + HOUR)]
  const list = (revoked: readonly Made[]) =>
    readRevocations(makeList({ issuer: ROOT, revoked, thisUpdate: from, nextUpdate: to }), 'crl.der')

  revocations.replace({ lists: list([]) })
  clock.advance(1_000)
  assert.equal(socket.destroyed, false)
  revocations.replace({ lists: list([{ serial } as Made]) })
  clock.advance(1_000)

  assert.equal(socket.destroyed, true)
})

test('an endpoint is spoken to in the clear when nobody knows whom to expect', (t) => {
  const address = { host: '127.0.0.1', port: 1 }
  const never = () => assert.fail()

  assert.equal(securedEndpoint(address, undefined, never), undefined)
  assert.equal(securedEndpoint({ ...address, identity: VOTING }, undefined, never), undefined)
  assert.equal(securedEndpoint(address, meshed(t), never), undefined)
  for (const mesh of [meshed(t, { strict: true }), meshed(t, { allowed: [VOTING] })])
    assert.ok(securedEndpoint(address, mesh, never))
  assert.ok(securedEndpoint({ ...address, identity: VOTING }, meshed(t), never))
})
