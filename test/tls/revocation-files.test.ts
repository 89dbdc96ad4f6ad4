import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createMesh } from '../../src/index.ts'
import { readCertificate } from '../../src/tls/certificate.ts'
import { watchRevocationFiles } from '../../src/tls/revocation-files.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { cleanup } from '../support/servers.ts'
import { type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'
import { makeLeaf, makeRoot, NOW } from './test-certificates.ts'
import { listPem, makeList } from './test-revocation-list.ts'

const root = makeRoot()
const leaf = makeLeaf(root, 'spiffe://mesh.test/web')

function trial(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-lists-'))
  cleanup(t, () => rmSync(directory, { recursive: true }))
  const path = join(directory, 'crl.pem')
  const write = (content: string | Buffer) => {
    writeFileSync(`${path}.new`, content)
    renameSync(`${path}.new`, path)
  }
  write(listPem(makeList({ issuer: root })))
  return { path, write }
}

function watching(t: TestContext, path: string) {
  const runtime = virtualRuntime()
  const revocations = new Revocations()
  const failures: string[] = []
  let replaced = 0
  revocations.onChange(() => replaced++)
  cleanup(
    t,
    watchRevocationFiles(runtime, [path], revocations, ({ message }) => void failures.push(message)),
  )
  const isRevoked = () =>
    revocations.listProblem(readCertificate(leaf.der), readCertificate(root.der), NOW, 0)?.rule === 'revoked'
  /** Lets the files be looked at until it holds; what tells of changes is the system, or the next look. */
  const until = async (holds: () => boolean) => {
    while (!holds()) {
      await (runtime.clock as VirtualClock).pass(5_000)
      await turn()
    }
  }
  return { failures, isRevoked, until, replaced: () => replaced, pass: (ms: number) => (runtime.clock as VirtualClock).pass(ms) }
}

test('the lists are there at once, and change with their file', async (t) => {
  const { path, write } = trial(t)
  const watch = watching(t, path)
  assert.equal(watch.isRevoked(), false)

  write(makeList({ issuer: root, revoked: [leaf] }))
  await watch.until(watch.isRevoked)
  write(listPem(makeList({ issuer: root })))
  await watch.until(() => !watch.isRevoked())

  assert.deepEqual(watch.failures, [])
})

test('a file that does not change has nobody look at connections', async (t) => {
  const { path } = trial(t)
  const watch = watching(t, path)

  await watch.pass(60_000)

  assert.equal(watch.replaced(), 1)
})

test('a broken or missing file is told once, takes nothing away, and is taken up when it is whole', async (t) => {
  const { path, write } = trial(t)
  write(makeList({ issuer: root, revoked: [leaf] }))
  const watch = watching(t, path)

  write('no list')
  await watch.until(() => watch.failures.length === 1)
  await watch.pass(60_000)
  assert.equal(watch.isRevoked(), true)
  rmSync(path)
  await watch.until(() => watch.failures.length === 2)
  write(listPem(makeList({ issuer: root })))
  await watch.until(() => !watch.isRevoked())

  assert.match(watch.failures[0] ?? '', /^mtls\.crlFiles: .*crl\.pem: no revocation list in it/)
  assert.match(watch.failures[1] ?? '', /^mtls\.crlFiles: .*crl\.pem: can't be read \(ENOENT\)/)
})

test('a file that can not be read at the start is an error of the mesh, and so is one that is too large', (t) => {
  const { path, write } = trial(t)

  assert.throws(() => createMesh({ mtls: { crlFiles: [`${path}.missing`] } }), {
    code: 'INMESH_IDENTITY',
    message: /^mtls\.crlFiles: .*missing: can't be read \(ENOENT\)/,
  })
  write(Buffer.alloc(1_000_001))
  assert.throws(() => createMesh({ mtls: { crlFiles: [path] } }), { message: /has 1000001 bytes, at most 1000000 are read/ })
})

test('a mesh tells by a warning that a list can not be read any more, and goes on', async (t) => {
  const { path, write } = trial(t)
  const mesh = createMesh({ mtls: { crlFiles: [path] } })
  cleanup(t, () => mesh.close())
  const warned = once(process, 'warning')

  write('no list')

  const [warning] = await warned
  assert.equal(warning.code, 'INMESH_IDENTITY')
})
