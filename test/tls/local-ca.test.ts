import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import type { Identity, IdentityUpdate } from '../../src/core/identity.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { type LocalCaOptions, localCa } from '../../src/tls/local-ca.ts'
import { Verifier } from '../../src/tls/verify.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { IdentityUpdates } from './identity-updates.ts'
import { assertUsable, sourceConformance } from './source-conformance.ts'

const ID = 'spiffe://inmesh.local/ns/default/sa/web'
const HOUR = 3_600_000
const DAY = 24 * HOUR

// What loads it takes real time, and virtual time would pass meanwhile.
before(() => import('node-forge'))

sourceConformance('the local CA', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-ca-'))
  return {
    factory: localCa({ account: 'web', leafLifeMs: 60_000, directory }),
    id: ID,
    rotate: (updates) => updates.pass(45_000),
    fail: async (updates) => {
      chmodSync(join(directory, 'ca', 'inmesh.local', '1.pem'), 0o644)
      await updates.pass(45_000)
    },
    recover: () => chmodSync(join(directory, 'ca', 'inmesh.local', '1.pem'), 0o600),
    close: () => rmSync(directory, { recursive: true, force: true }),
  }
})

test('makes a CA that its user alone can read, when the first process asks for it', async (t) => {
  const { directory, updates } = watching(t)

  await updates.identity()

  const place = join(directory, 'ca', 'inmesh.local')
  assert.deepEqual(readdirSync(place), ['1.pem'])
  assert.equal(statSync(place).mode & 0o777, 0o700)
  assert.equal(statSync(join(directory, 'ca')).mode & 0o777, 0o700)
  assert.equal(statSync(join(place, '1.pem')).mode & 0o777, 0o600)
})

test('issues a leaf of 24 h that begins a little earlier', async (t) => {
  const { updates } = watching(t)

  const identity = await updates.identity()

  assert.equal(identity.notAfter - updates.clock.wall(), DAY)
  assert.equal(updates.clock.wall() - identity.notBefore, 60_000)
})

test('makes one CA that all trust when ten processes start at once, and holds none of them', async (t) => {
  const directory = ownDirectory(t)
  const script = join(import.meta.dirname, 'local-ca-process.ts')

  const outputs = await Promise.all(
    Array.from({ length: 10 }, (_, i) => promisify(execFile)(process.execPath, [script, directory, `p${i}`])),
  )

  const identities = outputs.map(({ stdout }) => JSON.parse(stdout) as Identity)
  assert.deepEqual(readdirSync(join(directory, 'ca', 'inmesh.local')), ['1.pem'])
  assert.equal(new Set(identities.map(({ trust }) => JSON.stringify(trust))).size, 1)
  for (const one of identities) {
    const verifier = new Verifier(one.trust)
    for (const { certificates, id } of identities) {
      const verdict = verifier.verify([new X509Certificate(certificates).raw], { role: 'client', now: Date.now() })
      assert.equal('id' in verdict ? verdict.id : verdict.message, id)
    }
  }
})

test('renews the leaf at 60 to 70 % of its life, not all processes at once', async (t) => {
  const directory = ownDirectory(t)
  const ages: number[] = []
  for (const seed of [1, 2, 3, 4, 5]) {
    const { updates } = watching(t, { directory }, seed)
    await updates.identity()
    const begun = updates.clock.wall()
    await updates.identity(60_000)
    ages.push((updates.clock.wall() - begun) / DAY)
    updates.stop()
  }

  assert.ok(
    ages.every((age) => age >= 0.6 && age <= 0.701),
    ages.join(),
  )
  assert.ok(new Set(ages.map((age) => age.toFixed(3))).size > 3, ages.join())
})

test('renews at once when the calendar has jumped beyond the leaf', async (t) => {
  const { updates } = watching(t)
  await updates.identity()

  updates.clock.epoch += 2 * DAY
  const renewed = await updates.identity(60_000)

  assert.ok(updates.clock.now() < 120_000, 'within the next look')
  assertUsable(renewed, ID, updates.clock.wall())
})

test('renews when the calendar has jumped back before the leaf, and before the CA', async (t) => {
  const { directory, updates } = watching(t)
  await updates.identity()

  updates.clock.epoch -= 10 * DAY
  const renewed = await updates.identity(60_000)

  assertUsable(renewed, ID, updates.clock.wall())
  assert.deepEqual(readdirSync(join(directory, 'ca', 'inmesh.local')), ['1.pem', '2.pem'])
})

test('makes a second root after eight months, trusts both, and only later issues from it', async (t) => {
  const { updates } = watching(t)
  const first = await updates.identity()

  updates.clock.epoch += 245 * DAY
  const overlapping = await nextWith(updates, 2)
  await updates.pass(20 * 60_000, 60_000)
  updates.clock.epoch += 2 * DAY
  const later = await updates.identity(60_000)

  const [oldRoot = '', newRoot = ''] = overlapping.trust['inmesh.local'] ?? []
  assert.deepEqual(first.trust['inmesh.local'], [oldRoot])
  assert.equal(new X509Certificate(overlapping.certificates).verify(new X509Certificate(oldRoot).publicKey), true)
  assert.equal(new X509Certificate(later.certificates).verify(new X509Certificate(newRoot).publicKey), true)
  assert.deepEqual(later.trust['inmesh.local'], [oldRoot, newRoot])
})

test('forgets the old root when its year is over', async (t) => {
  const { directory, updates } = watching(t)
  await updates.identity()
  updates.clock.epoch += 300 * DAY
  await nextWith(updates, 2)

  updates.clock.epoch += 100 * DAY
  const identity = await nextWith(updates, 1)

  assertUsable(identity, ID, updates.clock.wall())
  assert.deepEqual(readdirSync(join(directory, 'ca', 'inmesh.local')), ['2.pem'])
})

test('takes the root that another process has made as soon as it is there', async (t) => {
  const directory = ownDirectory(t)
  const one = watching(t, { directory })
  await one.updates.identity()
  const other = watching(t, { directory })
  other.updates.clock.epoch += 245 * DAY

  await nextWith(other.updates, 2)
  one.updates.clock.epoch += 245 * DAY
  const seen = await nextWith(one.updates, 2)

  assert.equal(seen.trust['inmesh.local']?.length, 2)
})

test('puts the CA back when somebody has tidied its directory away', async (t) => {
  const { directory, updates } = watching(t)
  await updates.identity()
  const path = join(directory, 'ca', 'inmesh.local', '1.pem')
  const before = readFileSync(path, 'utf8')

  rmSync(join(directory, 'ca'), { recursive: true })
  await updates.pass(120_000, 60_000)

  assert.equal(readFileSync(path, 'utf8'), before)
})

test('issues anew when its root is removed and another one made', async (t) => {
  const { directory, updates } = watching(t)
  const first = await updates.identity()
  const place = join(directory, 'ca', 'inmesh.local')

  const otherDirectory = ownDirectory(t)
  const other = watching(t, { directory: otherDirectory })
  await other.updates.identity()
  writeFileSync(join(place, '2.pem'), readFileSync(join(otherDirectory, 'ca', 'inmesh.local', '1.pem')), { mode: 0o600 })
  unlinkSync(join(place, '1.pem'))
  const second = await nextWhere(
    updates,
    ({ trust }) => JSON.stringify(trust) !== JSON.stringify(first.trust) && trust['inmesh.local']?.length === 1,
  )

  assertUsable(second, ID, updates.clock.wall())
})

test('refuses a key that others can read, with the command to run', async (t) => {
  const { directory, updates } = watching(t)
  const path = await madeBefore(directory)
  chmodSync(path, 0o640)

  const error = await updates.error()

  assert.equal(error.message, `local CA: ${path}: others may read the CA's key (mode 0640), run: chmod 600 ${path}`)
})

test('refuses a directory that others can enter, with the command to run', async (t) => {
  const { directory, updates } = watching(t)
  await madeBefore(directory)
  chmodSync(join(directory, 'ca'), 0o755)

  const error = await updates.error()

  assert.match(error.message, /^local CA: .*others may enter it \(mode 0755\), run: chmod 700 /)
})

test('names a broken file and what to do, and works again once it is removed', async (t) => {
  const { directory, updates } = watching(t)
  const path = await madeBefore(directory)
  writeFileSync(path, readFileSync(path, 'utf8').slice(0, 300))

  const error = await updates.error()
  unlinkSync(path)
  const identity = await updates.identity()

  assert.match(
    error.message,
    new RegExp(`^local CA: ${path}: is no CA that can be used: .*cut off.*: remove it, and a new CA is made`),
  )
  assert.equal((error as { code?: string }).code, 'INMESH_IDENTITY')
  assertUsable(identity, ID, updates.clock.wall())
})

test('refuses a key that does not fit its certificate', async (t) => {
  const { directory, updates } = watching(t)
  const path = await madeBefore(directory)
  const otherPath = await madeBefore(ownDirectory(t))
  const key = readFileSync(otherPath, 'utf8').slice(readFileSync(otherPath, 'utf8').indexOf('-----BEGIN PRIVATE'))
  writeFileSync(path, readFileSync(path, 'utf8').replace(/-----BEGIN PRIVATE[\s\S]*/, key))

  assert.match((await updates.error()).message, /its key does not fit its certificate/)
})

test('follows no symbolic link and reads no huge file', async (t) => {
  const { directory, updates } = watching(t)
  const path = await madeBefore(directory)
  const aside = join(directory, 'aside.pem')
  writeFileSync(aside, readFileSync(path), { mode: 0o600 })
  unlinkSync(path)
  symlinkSync(aside, path)

  assert.match((await updates.error()).message, /1\.pem: is a symbolic link, remove it/)
  unlinkSync(path)
  writeFileSync(path, Buffer.alloc(1_000_000, 'a'), { mode: 0o600 })
  assert.match((await nextErrorWhere(updates, /bytes/)).message, /1000000 bytes, at most 16384 are read/)
})

test('keeps trust domains apart', async (t) => {
  const directory = ownDirectory(t)
  const here = await watching(t, { directory }).updates.identity()
  const there = await watching(t, { directory, trustDomain: 'other.test' }).updates.identity()

  const verdict = new Verifier(here.trust).verify([new X509Certificate(there.certificates).raw], {
    role: 'client',
    now: Date.UTC(2030, 0, 1),
  })

  assert.equal('rule' in verdict && verdict.rule, 'trust-domain')
})

test('leaves no draft behind', async (t) => {
  const { directory, updates } = watching(t)
  mkdirSync(join(directory, 'ca', 'inmesh.local'), { recursive: true, mode: 0o700 })

  await updates.identity()

  assert.equal(existsSync(join(directory, 'ca', 'inmesh.local', '1.pem')), true)
  assert.equal(readdirSync(join(directory, 'ca', 'inmesh.local')).length, 1)
})

test('makes a CA where a process of the same number was killed while it made one', async (t) => {
  const directory = ownDirectory(t)
  const place = join(directory, 'ca', 'inmesh.local')
  mkdirSync(place, { recursive: true, mode: 0o700 })
  for (let i = 0; i < 100; i++) writeFileSync(join(place, `1.pem.${process.pid}-${i}`), '', { mode: 0o600 })

  const { updates } = watching(t, { directory })

  assert.equal((await updates.identity()).id, ID)
})

test('a machine that slept beyond the leaf has a new one as soon as somebody connects', async (t) => {
  const runtime = virtualRuntime()
  const keyring = new Keyring({ runtime, source: localCa({ account: 'web', directory: ownDirectory(t) }) })
  t.after(() => keyring.close())
  const present = () => new Promise<IdentityUpdate>((resolve) => void keyring.whenPresent(resolve))
  await present()

  runtime.clock.epoch += 72 * HOUR
  const update = await present()

  assert.ok('identity' in update && update.identity.notAfter > runtime.clock.wall())
})

test('names every bad option', () => {
  const options = { account: 'a/b', namespace: '', trustDomain: 'Upper', leafLifeMs: 5, directory: 7, more: 1 }

  assert.throws(
    () => localCa(options as unknown as LocalCaOptions),
    (error: Error) => {
      for (const name of Object.keys(options)) assert.match(error.message, new RegExp(`localCa\\.${name}: `))
      return true
    },
  )
})

function ownDirectory(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-ca-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

function watching(t: TestContext, options: LocalCaOptions = {}, seed = 1) {
  const directory = options.directory ?? ownDirectory(t)
  const runtime = virtualRuntime(seed)
  const updates = new IdentityUpdates(runtime.clock, localCa({ account: 'web', directory, ...options })(runtime))
  t.after(() => updates.stop())
  return { directory, updates }
}

/** The file of a CA that was made by somebody before. */
async function madeBefore(directory: string): Promise<string> {
  const runtime = virtualRuntime()
  const updates = new IdentityUpdates(runtime.clock, localCa({ directory })(runtime))
  await updates.identity()
  updates.stop()
  return join(directory, 'ca', 'inmesh.local', '1.pem')
}

const nextWith = (updates: IdentityUpdates, roots: number): Promise<Identity> =>
  nextWhere(updates, ({ trust }) => trust['inmesh.local']?.length === roots)

async function nextWhere(updates: IdentityUpdates, fits: (identity: Identity) => boolean): Promise<Identity> {
  for (;;) {
    const identity = await updates.identity(60_000)
    if (fits(identity)) return identity
  }
}

async function nextErrorWhere(updates: IdentityUpdates, pattern: RegExp): Promise<Error> {
  for (;;) {
    const error = await updates.error()
    if (pattern.test(error.message)) return error
  }
}
