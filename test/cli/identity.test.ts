import assert from 'node:assert/strict'
import { chmodSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { VirtualClock } from '../support/virtual-time.ts'
import { inmesh, inmeshAt, workDirectory } from './command-line.ts'

const work = workDirectory()
const directory = join(work, 'voting')
const ID = 'spiffe://prod.example/ns/default/sa/voting'

before(async () => {
  const clock = new VirtualClock()
  clock.epoch = Date.now()
  await inmeshAt(clock, ['ca', 'init', '--dir', join(work, 'ca'), '--trust-domain', 'prod.example'])
  await inmeshAt(clock, ['ca', 'issue', ID, '--dir', join(work, 'ca'), '--out', directory])
})

describe('identity', () => {
  const identity = (args: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    inmesh(work, ['identity', ...args], { INMESH_RUNTIME_DIR: join(work, 'run'), ...env })

  test('says what the CA of this machine would make, and makes nothing', async () => {
    const { code, out } = await identity([], { INMESH_SERVICE: 'web' })
    const { out: json } = await identity(['--json', '--service', 'web', '--namespace', 'shop', '--trust-domain', 'dev.example'])

    assert.equal(code, 0)
    assert.match(out, /^spiffe:\/\/inmesh\.local\/ns\/default\/sa\/web\n/)
    assert.match(out, /nothing was made now \(--make makes it\)/)
    assert.match(out, /source +local-ca: \$SPIFFE_ENDPOINT_SOCKET is not set/)
    assert.deepEqual([JSON.parse(json).id, JSON.parse(json).state], ['spiffe://dev.example/ns/shop/sa/web', 'would-make-ca'])
    assert.equal(existsSync(join(work, 'run')), false)
  })

  test('makes one when that is asked for, and finds the CA the next time', async () => {
    const env = { INMESH_RUNTIME_DIR: join(work, 'made') }

    const made = JSON.parse((await identity(['--make', '--json'], env)).out)
    const next = JSON.parse((await identity(['--json'], env)).out)

    assert.equal(made.state, 'made')
    assert.match(made.refresh, /^by itself, between \d{4}-.*Z and \d{4}-.*Z$/)
    assert.equal(Math.round((Date.parse(made.notAfter) - Date.parse(made.notBefore)) / 60_000), 24 * 60 + 1)
    assert.deepEqual([next.state, next.notAfter, next.trust.length], ['would-be-made', null, 1])
    assert.deepEqual(readdirSync(join(work, 'made', 'ca', 'inmesh.local')), ['1.pem'])
  })

  test('shows the identity in files', async () => {
    const { code, out } = await identity(['--dir', directory])
    const json = JSON.parse((await identity(['--dir', directory, '--json'])).out)

    assert.equal(code, 0)
    assert.match(out, /^spiffe:\/\/prod\.example\/ns\/default\/sa\/voting\n {2}valid +until .* \(in 24 hours\)\n/)
    assert.deepEqual(
      [json.source, json.trust[0].trustDomain, json.places],
      ['files', 'prod.example', ['tls.crt', 'tls.key', 'ca.crt'].map((file) => join(directory, file))],
    )
    assert.doesNotMatch(out + JSON.stringify(json), /PRIVATE KEY/)
  })

  test('says which file is missing, or may be read by others', async () => {
    const missing = await identity(['--source', 'files'])
    chmodSync(join(directory, 'tls.key'), 0o644)
    const open = await identity(['--dir', directory])
    chmodSync(join(directory, 'tls.key'), 0o600)

    assert.deepEqual([missing.code, open.code], [1, 1])
    assert.match(missing.err, /tls\.key: is missing \(ENOENT\)\n$/)
    assert.match(open.err, /others may read it \(mode 0644\), run: chmod/)
    assert.equal(open.err.split('\n').length, 2)
  })

  test('asks the Workload API that the environment names, and says at once when nobody is there', async () => {
    const { code, err } = await identity([], { SPIFFE_ENDPOINT_SOCKET: `unix://${join(work, 'none.sock')}` })

    assert.equal(code, 1)
    assert.match(err, /none\.sock/)
  })

  for (const [args, said] of [
    [['--source', 'vault'], /--source: expected one of local-ca, files, spiffe, got "vault"/],
    [['--source', 'files', '--service', 'a'], /--service goes with --source local-ca/],
    [['--source', 'local-ca', '--dir', 'a'], /--dir goes with --source files/],
  ] as const) {
    test(`refuses \`${args.join(' ')}\` as a wrong command line`, async () => {
      const { code, err } = await inmeshAt(new VirtualClock(), ['identity', ...args])

      assert.equal(code, 2)
      assert.match(err, said)
    })
  }
})
