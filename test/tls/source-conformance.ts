import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import { createSecureContext } from 'node:tls'
import { inspect } from 'node:util'
import type { Runtime } from '../../src/core/clock.ts'
import type { Identity, IdentitySourceFactory } from '../../src/core/identity.ts'
import { parseSpiffeId } from '../../src/tls/spiffe-id.ts'
import { Verifier } from '../../src/tls/verify.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { IdentityUpdates, turns } from './identity-updates.ts'

/** A source of identities whose origin the suite can change. The virtual calendar begins at 2030-01-01. */
export interface IdentitySubject {
  readonly factory: IdentitySourceFactory
  /** The SPIFFE ID that it gives. */
  readonly id: string
  /** Makes the origin hold another leaf; a source that renews by itself gets its time by `updates.pass`. */
  rotate(updates: IdentityUpdates): void | Promise<void>
  /** Makes the origin unreadable until `recover`. */
  fail(updates: IdentityUpdates): void | Promise<void>
  /** Makes the origin whole again, with another leaf. */
  recover(updates: IdentityUpdates): void | Promise<void>
  close(): void | Promise<void>
}

/** What holds for every source of identities, wherever they come from. */
export function sourceConformance(name: string, make: (runtime: Runtime) => Promise<IdentitySubject>): void {
  const run = runner(name, make)

  run('gives an identity that can be used', async ({ updates, subject }) => {
    const identity = await updates.identity()
    updates.stop()

    assertUsable(identity, subject.id, updates.clock.wall())
  })

  run('gives an identity whose key no log shows, also after it was looked at anew', async ({ updates, subject }) => {
    const identity = await updates.identity()
    await subject.rotate(updates)
    const next = await updates.identity()
    updates.stop()

    for (const one of [identity, next]) assert.doesNotMatch(inspect({ identity: one }, { depth: 5 }), /PRIVATE KEY/)
  })

  run('never calls back before watch has returned', async ({ runtime, subject, updates }) => {
    updates.stop()
    let returned = false
    let early = false

    const stop = subject.factory(runtime).watch(() => {
      early ||= !returned
    })
    returned = true
    await turns(20)
    stop()

    assert.equal(early, false)
  })

  run('reports nothing when it is stopped at once', async ({ updates }) => {
    updates.stop()
    await updates.pass(5_000)

    assert.deepEqual(updates.all, [])
    assert.equal(updates.clock.pending, 0)
  })

  run('leaves no timer when it is stopped, twice', async ({ updates }) => {
    await updates.identity()

    updates.stop()
    await turns(20)
    assert.equal(updates.clock.pending, 0)
    updates.stop()
    await turns(20)

    assert.equal(updates.clock.pending, 0)
  })

  run('tells watchers independently of each other', async ({ runtime, subject, updates }) => {
    const other = new IdentityUpdates(runtime.clock, subject.factory(runtime))
    const first = await updates.identity()
    updates.stop()

    const second = await other.identity()
    other.stop()

    assert.equal(first.id, subject.id)
    assert.equal(second.id, subject.id)
  })

  run('reports a renewal as a new identity and leaves the old one as it was', async ({ subject, updates }) => {
    const first = await updates.identity()
    const before = JSON.stringify(first)

    await subject.rotate(updates)
    const second = await updates.identity()
    updates.stop()

    assert.notEqual(second.certificates, first.certificates)
    assert.equal(JSON.stringify(first), before)
    assertUsable(second, subject.id, updates.clock.wall())
  })

  run('tells why there is no newer identity, and goes on trying', async ({ subject, updates }) => {
    const first = await updates.identity()

    await subject.fail(updates)
    const error = await updates.error()
    await subject.recover(updates)
    const second = await updates.identity()
    updates.stop()

    assert.equal((error as { code?: string }).code, 'INMESH_IDENTITY')
    assert.equal(keyLines(first).filter((line) => error.message.includes(line)).length, 0)
    assertUsable(second, subject.id, updates.clock.wall())
  })

  run('reports nothing after it was stopped, whatever its origin does', async ({ subject, updates }) => {
    await updates.identity()
    updates.stop()
    const told = updates.all.length

    await subject.rotate(updates)
    await updates.pass(5_000)
    await subject.fail(updates)
    await updates.pass(5_000)

    assert.equal(updates.all.length, told)
  })

  run('leaves no timer when it is stopped while its origin fails', async ({ subject, updates }) => {
    await updates.identity()
    await subject.fail(updates)
    await updates.error()

    updates.stop()
    await turns(20)

    assert.equal(updates.clock.pending, 0)
  })
}

/** Checks an identity as a peer and as Node would. */
export function assertUsable(identity: Identity, id: string, now: number): void {
  const { trustDomain } = parseSpiffeId(identity.id)
  const chain = identity.certificates.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? []
  const ders = chain.map((pem) => new X509Certificate(pem).raw)

  assert.equal(identity.id, id)
  assert.ok(identity.notBefore <= now && now <= identity.notAfter, 'is valid now')
  assert.notEqual(identity.trust[trustDomain], undefined)
  for (const role of ['server', 'client'] as const) {
    assert.deepEqual(new Verifier(identity.trust, { linkerdNames: true }).verify(ders, { role, now, ids: [id] }), {
      id,
      notAfter: new Date(new X509Certificate(chain[0] as string).validTo).getTime(),
    })
  }
  createSecureContext({ cert: identity.certificates, key: identity.key, ca: Object.values(identity.trust).flat() })
}

function keyLines({ key }: Identity): string[] {
  return key.split('\n').filter((line) => line !== '' && !line.startsWith('-----'))
}

interface Running {
  readonly runtime: ReturnType<typeof virtualRuntime>
  readonly subject: IdentitySubject
  readonly updates: IdentityUpdates
}

function runner(name: string, make: (runtime: Runtime) => Promise<IdentitySubject>) {
  return (behaviour: string, body: (running: Running) => Promise<void>) =>
    test(`${name} ${behaviour}`, { timeout: 20_000 }, async (t) => {
      const runtime = virtualRuntime()
      const subject = await make(runtime)
      const updates = new IdentityUpdates(runtime.clock, subject.factory(runtime))
      t.after(async () => {
        updates.stop()
        await subject.close()
      })
      await body({ runtime, subject, updates })
    })
}
