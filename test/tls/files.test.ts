import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type FilesOptions, files } from '../../src/tls/files.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { time } from './der-writer.ts'
import { IdentityUpdates } from './identity-updates.ts'
import { runAlone } from './run-alone.ts'
import { assertUsable, sourceConformance } from './source-conformance.ts'
import { ed25519Key, HOUR, type Made, makeIntermediate, makeLeaf, makeRoot, NOW, rsaKey } from './test-certificates.ts'

const ID = 'spiffe://cluster.local/ns/emojivoto/sa/voting'
const ROOT = makeRoot()
const OTHER_ROOT = makeRoot()
const leaf = () => makeLeaf(ROOT, ID)

/** Of the last 4 bytes of its first certificate: enough to tell leaves apart. */
const isLeaf = ({ certificates }: { certificates: string }, { pem }: Made) => certificates.startsWith(pem)

function directoryOf(t?: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  t?.after(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** Replaces a file as careful writers do. */
function put(path: string, text: string, mode = 0o600): void {
  writeFileSync(`${path}.new`, text, { mode })
  renameSync(`${path}.new`, path)
}

function putPair(directory: string, { pem, keyPem }: Made): void {
  put(join(directory, 'tls.crt'), pem)
  put(join(directory, 'tls.key'), keyPem)
}

sourceConformance('files', async () => {
  const directory = directoryOf()
  put(join(directory, 'ca.crt'), ROOT.pem)
  putPair(directory, leaf())
  return {
    factory: files({ directory }),
    id: ID,
    rotate: () => putPair(directory, leaf()),
    fail: () => unlinkSync(join(directory, 'tls.crt')),
    recover: () => putPair(directory, leaf()),
    close: () => rmSync(directory, { recursive: true }),
  }
})

/** A directory with a pair and an anchor, and a watcher of it. */
function setUp(t: TestContext, options: FilesOptions = {}, { pair = leaf(), prepare = (_: string) => {} } = {}) {
  const directory = directoryOf(t)
  put(join(directory, 'ca.crt'), ROOT.pem)
  putPair(directory, pair)
  prepare(directory)
  return { directory, pair, at: (name: string) => join(directory, name), ...watch(t, { directory, ...options }) }
}

function watch(t: TestContext, options: FilesOptions) {
  const runtime = virtualRuntime()
  const updates = new IdentityUpdates(runtime.clock, files(options)(runtime))
  t.after(() => updates.stop())
  return { updates, clock: runtime.clock }
}

test('sees a renewal at once, without a poll', async (t) => {
  const { directory, updates, clock } = setUp(t)
  await updates.identity(0)
  const next = leaf()

  // In one step, since a pair that is put in two is half-written in between.
  put(join(directory, 'tls.key'), next.keyPem)
  put(join(directory, 'tls.crt'), next.pem)

  while (!isLeaf(await updates.identity(clock.now() === 0 ? 0 : 250), next)) {}
  assert.ok(clock.now() < 1_000, `${clock.now()} ms`)
})

test('follows the links of a Kubernetes volume, whose files change all at once', async (t) => {
  const directory = directoryOf(t)
  const pairs = [leaf(), leaf()] as const
  for (const [i, pair] of pairs.entries()) {
    mkdirSync(join(directory, `..v${i}`))
    putPair(join(directory, `..v${i}`), pair)
    put(join(directory, `..v${i}`, 'ca.crt'), ROOT.pem)
  }
  symlinkSync('..v0', join(directory, '..data'))
  for (const name of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(`..data/${name}`, join(directory, name))
  const { updates, clock } = watch(t, { directory })
  const first = await updates.identity(0)

  symlinkSync('..v1', join(directory, '..data_tmp'))
  renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
  rmSync(join(directory, '..v0'), { recursive: true })
  const second = await updates.identity(0)

  assert.deepEqual([isLeaf(first, pairs[0]), isLeaf(second, pairs[1]), clock.now(), updates.all.length], [true, true, 0, 2])
})

test('finds a change that the system does not tell of, by polling', async (t) => {
  const elsewhere = directoryOf(t)
  put(join(elsewhere, 'ca.crt'), ROOT.pem)
  const { updates } = setUp(
    t,
    { caFile: 'link.crt' },
    { prepare: (to) => symlinkSync(join(elsewhere, 'ca.crt'), join(to, 'link.crt')) },
  )
  const before = await updates.identity()

  put(join(elsewhere, 'ca.crt'), ROOT.pem + OTHER_ROOT.pem)
  const after = await updates.identity()

  assert.equal(before.trust['cluster.local']?.join('').match(/BEGIN/g)?.length, 1)
  assert.equal(after.trust['cluster.local']?.join('').match(/BEGIN/g)?.length, 2)
})

test('keeps the last pair while the next one is half-written, and says nothing if it is whole within a second', async (t) => {
  const { updates, at } = setUp(t)
  await updates.identity(0)
  const next = leaf()

  writeFileSync(at('tls.key'), '')
  await updates.pass(200, 50)
  writeFileSync(at('tls.key'), next.keyPem.slice(0, 100))
  await updates.pass(200, 50)
  writeFileSync(at('tls.key'), next.keyPem)
  await updates.pass(200, 50)
  writeFileSync(at('tls.crt'), next.pem)
  const update = await updates.next(10)

  assert.ok('identity' in update, 'error' in update ? update.error.message : '')
  assert.ok(isLeaf(update.identity, next))
})

test('says once that a key does not fit its certificate, and takes up what fits again', async (t) => {
  const { updates, at, pair } = setUp(t)
  await updates.identity()
  put(at('tls.key'), leaf().keyPem)

  const error = await updates.error()
  await updates.pass(60_000)
  const told = updates.all.length
  put(at('tls.key'), pair.keyPem)
  const recovered = await updates.identity()

  assert.match(
    error.message,
    /^files: .*\/tls\.crt and .*\/tls\.key: the key does not fit the leaf certificate \(serial [0-9a-f:]+\)/i,
  )
  assert.equal(told, 2)
  assert.ok(isLeaf(recovered, pair))
})

test('waits for files and a directory that are not there yet', async (t) => {
  const directory = join(directoryOf(t), 'later')
  const { updates } = watch(t, { directory })

  const error = await updates.error()
  mkdirSync(directory)
  put(join(directory, 'ca.crt'), ROOT.pem)
  putPair(directory, leaf())
  const identity = await updates.identity()

  assert.equal(error.message, `files: ${directory}/tls.key: is missing (ENOENT)`)
  assert.equal(identity.id, ID)
})

test('takes up again a directory that went away and came back', async (t) => {
  const { updates, directory } = setUp(t)
  await updates.identity()

  rmSync(directory, { recursive: true })
  const error = await updates.error()
  mkdirSync(directory)
  put(join(directory, 'ca.crt'), ROOT.pem)
  const next = leaf()
  putPair(directory, next)

  assert.match(error.message, /tls\.key: is missing \(ENOENT\)$/)
  assert.ok(isLeaf(await updates.identity(), next))
})

for (const [behaviour, mode, problem] of [
  ['everybody may read', 0o644, 'others may read it (mode 0644)'],
  ['everybody may write', 0o662, 'others may write it (mode 0662)'],
  ['its group may write', 0o660, 'its group may write it (mode 0660)'],
] as const) {
  test(`refuses a key that ${behaviour}, with the command to run`, async (t) => {
    const { updates, at, pair } = setUp(t, {}, { prepare: (directory) => chmodSync(join(directory, 'tls.key'), mode) })

    const error = await updates.error()
    chmodSync(at('tls.key'), 0o640)

    assert.equal(
      error.message,
      `files: ${at('tls.key')}: ${problem}, run: chmod g-w,o= ${at('tls.key')}; in a Kubernetes volume set defaultMode: 0400, or 0440 with an fsGroup`,
    )
    assert.ok(isLeaf(await updates.identity(), pair))
  })
}

test('looks at the mode of the key itself and not of a link to it', async (t) => {
  const { updates, pair } = setUp(
    t,
    { keyFile: 'link.key' },
    { prepare: (directory) => symlinkSync('tls.key', join(directory, 'link.key')) },
  )

  assert.ok(isLeaf(await updates.identity(), pair))
})

test('quotes the path of a key for the shell', async (t) => {
  const { updates, at } = setUp(
    t,
    { keyFile: "it's a key" },
    { prepare: (to) => writeFileSync(join(to, "it's a key"), '', { mode: 0o644 }) },
  )

  const { message } = await updates.error()

  assert.ok(message.includes(`run: chmod g-w,o= '${at("it'\\''s a key")}'; in`), message)
})

for (const [behaviour, write] of [
  ['line ends of Windows', (text: string) => text.replaceAll('\n', '\r\n')],
  ['text around it', (text: string) => `subject=voting\n\n${text}\n-- \nthat was it\n`],
  ['no line end at its end', (text: string) => text.trimEnd()],
  ['a byte order mark', (text: string) => `\u{feff}${text}`],
] as const) {
  test(`reads PEM with ${behaviour}`, async (t) => {
    const { updates } = setUp(
      t,
      {},
      {
        prepare(directory) {
          const pair = leaf()
          put(join(directory, 'tls.crt'), write(pair.pem))
          put(join(directory, 'tls.key'), write(pair.keyPem))
          put(join(directory, 'ca.crt'), write(ROOT.pem))
        },
      },
    )

    assertUsable(await updates.identity(), ID, NOW)
  })
}

for (const [kind, key, format] of [
  ['Ed25519', ed25519Key(), 'pkcs8'],
  ['RSA', rsaKey(2048), 'pkcs8'],
  ['RSA as PKCS#1, as cert-manager writes it,', rsaKey(2048), 'pkcs1'],
] as const) {
  test(`takes a key of ${kind}`, async (t) => {
    const pair = makeLeaf(ROOT, ID, { key })
    const keyPem = key.export({ type: format as 'pkcs8', format: 'pem' }) as string
    const { updates } = setUp(t, {}, { pair: { ...pair, keyPem } })

    const identity = await updates.identity()

    assertUsable(identity, ID, NOW)
    assert.match(identity.key, /^-----BEGIN PRIVATE KEY-----/)
  })
}

test('takes an EC key in its old form', async (t) => {
  const pair = leaf()
  const { updates } = setUp(t, {}, { pair: { ...pair, keyPem: pair.key.export({ type: 'sec1', format: 'pem' }) as string } })

  assertUsable(await updates.identity(), ID, NOW)
})

test('takes a pair with its intermediate in one file', async (t) => {
  const intermediate = makeIntermediate(ROOT)
  const pair = makeLeaf(intermediate, ID)
  const { updates } = setUp(
    t,
    { certFile: 'bundle.pem', keyFile: 'bundle.pem' },
    { prepare: (directory) => put(join(directory, 'bundle.pem'), pair.keyPem + pair.pem + intermediate.pem) },
  )

  const identity = await updates.identity()

  assert.equal(identity.certificates, pair.pem + intermediate.pem)
  assertUsable(identity, ID, NOW)
})

test('believes the anchors of several files, and those of other trust domains', async (t) => {
  const { updates } = setUp(
    t,
    { caFile: ['ca.crt', 'next.crt'], trustFiles: { 'other.example': 'other.crt' } },
    {
      prepare(directory) {
        put(join(directory, 'next.crt'), OTHER_ROOT.pem)
        put(join(directory, 'other.crt'), OTHER_ROOT.pem)
      },
    },
  )

  const { trust } = await updates.identity()

  assert.deepEqual(trust, { 'cluster.local': [ROOT.pem, OTHER_ROOT.pem], 'other.example': [OTHER_ROOT.pem] })
})

test('goes on without the anchors of another trust domain that can not be read, and says so once', async (t) => {
  const { updates, at, directory } = setUp(t, { trustFiles: { 'other.example': 'other.crt' } })

  const first = await updates.identity()
  const error = await updates.error()
  await updates.pass(20_000)
  const told = updates.all.length
  const next = leaf()
  putPair(directory, next)
  const renewed = await updates.identity()
  put(at('other.crt'), OTHER_ROOT.pem)
  while ((await updates.identity()).trust['other.example'] === undefined) {}

  assert.deepEqual(Object.keys(first.trust), ['cluster.local'])
  assert.equal(error.message, `files: ${at('other.crt')}: is missing (ENOENT)`)
  assert.equal(told, 2)
  assert.ok(isLeaf(renewed, next))
})

test('tells that the certificate has run out', async (t) => {
  const { updates, clock } = setUp(t)
  await updates.identity()

  clock.epoch += 48 * HOUR
  const error = await updates.error()

  assert.match(error.message, /expired/)
})

test('takes a certificate whose time has not come when it comes', async (t) => {
  const early = makeLeaf(ROOT, ID, { notBefore: time(NOW + HOUR) })
  const { updates, clock } = setUp(t, {}, { pair: early })

  const error = await updates.error()
  clock.epoch += 2 * HOUR

  assert.match(error.message, /not yet valid|valid only from|not valid before/)
  assert.ok(isLeaf(await updates.identity(), early))
})

const BAD: readonly [behaviour: string, file: string, content: string | undefined, message: RegExp][] = [
  ['no certificate', 'tls.crt', 'hello', /\/tls\.crt: no certificate in it/],
  ['half a certificate', 'tls.crt', ROOT.pem.slice(0, 200), /\/tls\.crt: .*cut off or broken$/],
  [
    'a certificate of garbage',
    'tls.crt',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
    /\/tls\.crt: the leaf certificate: /,
  ],
  [
    'a certificate without an identity',
    'tls.crt',
    makeLeaf(ROOT, ID, { extensions: { names: null } }).pem,
    /\/tls\.crt: the leaf certificate: no URI name/,
  ],
  ['no key', 'tls.key', ROOT.pem, /\/tls\.key: no private key in it/],
  [
    'a broken key',
    'tls.key',
    '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n',
    /\/tls\.key: the private key is broken/,
  ],
  ['no anchor', 'ca.crt', '', /\/ca\.crt: no certificate in it/],
  [
    'an anchor of garbage',
    'ca.crt',
    `${ROOT.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
    /\/ca\.crt: certificate 2: can't be read: /,
  ],
  ['another anchor', 'ca.crt', OTHER_ROOT.pem, /\/tls\.crt and .*\/tls\.key: /],
  ['a megabyte', 'tls.crt', 'x'.repeat(1_000_000), /\/tls\.crt: has 1 MB or more, which no certificate or key has$/],
  ['a missing anchor', 'ca.crt', undefined, /\/ca\.crt: is missing \(ENOENT\)$/],
]

for (const [behaviour, file, content, message] of BAD) {
  test(`names the file for ${behaviour}`, async (t) => {
    const { updates, directory } = setUp(
      t,
      {},
      {
        prepare: (to) => (content === undefined ? unlinkSync(join(to, file)) : put(join(to, file), content)),
      },
    )

    const error = await updates.error()

    assert.equal((error as { code?: string }).code, 'INMESH_IDENTITY')
    assert.ok(error.message.startsWith(`files: ${directory}/`), error.message)
    assert.match(error.message, message)
    assert.doesNotMatch(error.message, /c2VjcmV0|secret/)
  })
}

test('says that it is a directory', async (t) => {
  const { updates } = setUp(t, { certFile: '.' })

  assert.match((await updates.error()).message, /: is not a file$/)
})

test('does not wait for a pipe', async (t) => {
  const { updates } = setUp(
    t,
    { caFile: 'pipe' },
    { prepare: (directory) => void execFileSync('mkfifo', [join(directory, 'pipe')]) },
  )

  assert.match((await updates.error()).message, /\/pipe: is not a file$/)
})

test('names the link that leads nowhere', async (t) => {
  const { updates } = setUp(t, { caFile: 'link' }, { prepare: (directory) => symlinkSync('link', join(directory, 'link')) })

  assert.match((await updates.error()).message, /\/link: can't be read \(ELOOP\)$/)
})

test('says who may not read a file', async (t) => {
  const { updates, at } = setUp(t)
  await updates.identity()
  const restore = asSomebodyElse(at('tls.key'))
  t.after(restore)

  const error = await updates.error()
  restore()

  assert.match(
    error.message,
    /\/tls\.key: user \d+ may not read it \(EACCES\), give it to that user or .*; in a Kubernetes volume set defaultMode: 0440/,
  )
  assert.equal((await updates.identity()).id, ID)
})

/** Takes from this process the right to read a file: root may read whatever its mode. */
function asSomebodyElse(path: string): () => void {
  if (process.geteuid?.() !== 0) {
    chmodSync(path, 0)
    return () => chmodSync(path, 0o600)
  }
  process.seteuid?.(65_534)
  return () => process.seteuid?.(0)
}

test('keeps the last identity when its files are spoilt, and takes up good ones', async (t) => {
  const { updates, at, directory } = setUp(t)
  await updates.identity()

  put(at('tls.crt'), 'x'.repeat(2_000_000))
  await updates.error()
  const next = leaf()
  putPair(directory, next)

  assert.ok(isLeaf(await updates.identity(), next))
})

test('holds the process by nothing, whether its files are there or not', async (t) => {
  const today = { notBefore: time(Date.now() - HOUR), notAfter: time(Date.now() + HOUR) }
  const root = makeRoot(today)
  const { directory } = setUp(t, {}, { pair: makeLeaf(root, ID, today), prepare: (to) => put(join(to, 'ca.crt'), root.pem) })

  assert.equal(await runAlone('files', { directory }), 'identity')
  assert.equal(await runAlone('files', { directory, certFile: 'none' }), 'error')
})

test('refuses bad options, with every problem', () => {
  assert.throws(() => files({ certFile: 1, cert: 'x', caFile: [], trustFiles: { Other: 'x' } } as never), {
    code: 'INMESH_CONFIG',
    message:
      'files.certFile: expected a string that is not empty, got 1\n' +
      'files.cert: unknown option, expected one of directory, certFile, keyFile, caFile, trustFiles\n' +
      'files.caFile: expected a path or an array of paths, got an array\n' +
      `files.trustFiles: expected paths by trust domain, such as { 'other.example': 'other.crt' }; "Other": a trust domain has lower-case letters, digits, ".", "-" and "_" only, got an object`,
  })
})
