import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { type SpiffeOptions, spiffe } from '../../src/tls/spiffe.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { type SvidEntry, type SvidMessage, WorkloadApi } from '../support/workload-api.ts'
import { time } from './der-writer.ts'
import { IdentityUpdates } from './identity-updates.ts'
import { runAlone } from './run-alone.ts'
import { assertUsable, sourceConformance } from './source-conformance.ts'
import { ed25519Key, HOUR, type Made, makeIntermediate, makeLeaf, makeRoot, NOW, rsaKey } from './test-certificates.ts'

const ID = 'spiffe://example.org/ns/emojivoto/sa/voting'
const ROOT = makeRoot()
const FOREIGN = makeRoot()

/** What an agent sends of a leaf. */
function entry(leaf: Made = makeLeaf(ROOT, ID), changes: Partial<SvidEntry> = {}): SvidEntry {
  const key = leaf.key.export({ type: 'pkcs8', format: 'der' })
  return { spiffe_id: ID, x509_svid: leaf.der, x509_svid_key: key, bundle: ROOT.der, ...changes }
}

const message = (...svids: readonly SvidEntry[]): SvidMessage => ({ svids: svids.length === 0 ? [entry()] : svids })

function unixPlace(t?: TestContext): { at: string; directory: string } {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  t?.after(() => rmSync(directory, { recursive: true, force: true }))
  return { at: `unix://${directory}/agent.sock`, directory }
}

for (const [kind, place] of [
  ['a Unix socket', () => unixPlace()],
  ['TCP', () => ({ at: 'tcp://127.0.0.1:0', directory: undefined })],
] as const) {
  sourceConformance(`spiffe over ${kind}`, async () => {
    const { at, directory } = place()
    let api = await WorkloadApi.listen(at, message())
    return {
      factory: spiffe({ socket: api.uri }),
      id: ID,
      rotate: () => api.push(message()),
      fail: () => api.close(),
      async recover() {
        api = await WorkloadApi.listen(api.uri, message())
      },
      close() {
        api.close()
        if (directory !== undefined) rmSync(directory, { recursive: true })
      },
    }
  })
}

async function setUp(t: TestContext, current?: SvidMessage | Buffer, options: SpiffeOptions = {}) {
  const { at } = unixPlace(t)
  const api = await WorkloadApi.listen(at, current)
  t.after(() => api.close())
  return { api, from: `spiffe: ${at}: `, ...watch(t, { socket: at, ...options }) }
}

function watch(t: TestContext, options: SpiffeOptions) {
  const runtime = virtualRuntime()
  const updates = new IdentityUpdates(runtime.clock, spiffe(options)(runtime))
  t.after(() => updates.stop())
  return { updates, clock: runtime.clock }
}

test('gives each identity that is pushed, at once', async (t) => {
  const { api, updates, clock } = await setUp(t, message())
  const got = [(await updates.identity(0)).certificates]
  const leaves = [makeLeaf(ROOT, ID), makeLeaf(ROOT, ID), makeLeaf(ROOT, ID)]

  for (const leaf of leaves) {
    api.push(message(entry(leaf)))
    got.push((await updates.identity(0)).certificates)
  }

  assert.deepEqual(
    got.slice(1),
    leaves.map(({ pem }) => pem),
  )
  assert.deepEqual([api.calls, clock.now()], [1, 0])
})

test('says nothing of a message that changes nothing', async (t) => {
  const same = message()
  const { api, updates } = await setUp(t, same)
  await updates.identity(0)

  api.push(same)
  api.push(message())
  await updates.identity(0)

  assert.equal(updates.all.length, 2)
})

test('is told where the Workload API is by the environment', async (t) => {
  const { at } = unixPlace(t)
  const api = await WorkloadApi.listen(at, message())
  const before = process.env.SPIFFE_ENDPOINT_SOCKET
  t.after(() => {
    api.close()
    if (before === undefined) delete process.env.SPIFFE_ENDPOINT_SOCKET
    else process.env.SPIFFE_ENDPOINT_SOCKET = before
  })
  process.env.SPIFFE_ENDPOINT_SOCKET = at

  const { updates } = watch(t, {})

  assert.equal((await updates.identity(0)).id, ID)
})

test('takes the first of several identities', async (t) => {
  const other = `${ID}-2`
  const { updates } = await setUp(t, message(entry(), entry(makeLeaf(ROOT, other), { spiffe_id: other, hint: 'external' })))

  assert.equal((await updates.identity(0)).id, ID)
})

test('takes the identity with the hint, the first of those that have it', async (t) => {
  const other = `${ID}-2`
  const leaf = makeLeaf(ROOT, other)
  const svids = [entry(), entry(leaf, { spiffe_id: other, hint: 'external' }), entry(undefined, { hint: 'external' })]
  const { updates } = await setUp(t, message(...svids), { hint: 'external' })

  assert.equal((await updates.identity(0)).id, other)
})

test('says which hints there are, and takes up the one that it needs when it comes', async (t) => {
  const { api, updates, from } = await setUp(t, message(entry(), entry(undefined, { hint: 'internal' })), { hint: 'external' })

  const { message: text } = await updates.error(0)
  api.current = message(entry(undefined, { hint: 'external' }))

  assert.equal(
    text,
    `${from}sent no SVID with the hint "external", but none, "internal": change the option hint or the entry's hint`,
  )
  assert.equal((await updates.identity()).id, ID)
})

test('brings the anchors of federated trust domains, and drops what is no longer sent', async (t) => {
  const roots = Buffer.concat([FOREIGN.der, ROOT.der])
  const { api, updates } = await setUp(t, { ...message(), federated_bundles: { 'spiffe://other.example': roots } })
  const first = await updates.identity(0)

  api.push(message())
  const second = await updates.identity(0)

  assert.deepEqual(first.trust, { 'other.example': [FOREIGN.pem, ROOT.pem], 'example.org': [ROOT.pem] })
  assert.deepEqual(second.trust, { 'example.org': [ROOT.pem] })
})

test('takes a message of some thousand certificates', async (t) => {
  const bundle = Buffer.concat(Array<Buffer>(1_000).fill(FOREIGN.der))
  const federated_bundles = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [`spiffe://${name}.example`, bundle]))
  const { updates } = await setUp(t, { ...message(), federated_bundles })

  const { trust } = await updates.identity(0)

  assert.equal(Object.values(trust).flat().length, 4_001)
})

test('goes on without federated bundles that can not be read, and says which', async (t) => {
  const federated_bundles = {
    'spiffe://good.example': FOREIGN.der,
    'spiffe://garbage.example': Buffer.from('garbage'),
    'spiffe://empty.example': Buffer.alloc(0),
    'spiffe://path.example/workload': FOREIGN.der,
    'good.example': FOREIGN.der,
    'spiffe://example.org': FOREIGN.der,
  }
  const { updates } = await setUp(t, { ...message(), federated_bundles })

  const identity = await updates.identity(0)
  const { message: text } = await updates.error(0)

  assert.deepEqual(identity.trust, { 'good.example': [FOREIGN.pem], 'example.org': [ROOT.pem] })
  assert.match(text, /bundles of other trust domains that can't be read: "spiffe:\/\/garbage.example" \(/)
  for (const domain of ['empty.example', 'path.example/workload', '"good.example"']) assert.ok(text.includes(domain), text)
})

test('takes a chain with its intermediates', async (t) => {
  const intermediate = makeIntermediate(ROOT)
  const leaf = makeLeaf(intermediate, ID)
  const chain = Buffer.concat([leaf.der, intermediate.der])
  const { updates } = await setUp(t, message(entry(leaf, { x509_svid: chain })))

  const identity = await updates.identity(0)

  assert.equal(identity.certificates, leaf.pem + intermediate.pem)
  assertUsable(identity, ID, NOW)
})

for (const [kind, key] of [
  ['RSA', rsaKey(2048)],
  ['Ed25519', ed25519Key()],
] as const) {
  test(`takes a key of ${kind}`, async (t) => {
    const { updates } = await setUp(t, message(entry(makeLeaf(ROOT, ID, { key }))))

    assertUsable(await updates.identity(0), ID, NOW)
  })
}

test('keeps the last identity while the socket is away for an hour, asks no more than it should, and is back in half a minute', async (t) => {
  const { at } = unixPlace(t)
  const before = await WorkloadApi.listen(at, message())
  const { updates } = watch(t, { socket: at })
  await updates.identity(0)

  before.close()
  const error = await updates.error()
  await updates.pass(HOUR, 1_000)
  const told = updates.all.length
  const after = await WorkloadApi.listen(at, message())
  t.after(() => after.close())
  await updates.pass(31_000)

  assert.equal(error.message, `spiffe: ${at}: can't be reached (ENOENT); is the agent running, and its socket mounted here?`)
  assert.equal(told, 2)
  assert.equal(updates.all.length, 3)
  assert.equal((await updates.identity(0)).id, ID)
})

test('stays with one call while nothing happens for hours', async (t) => {
  const { api, updates } = await setUp(t, message())
  await updates.identity(0)

  await updates.pass(3 * HOUR, 1_000)

  assert.deepEqual([api.calls, updates.all.length], [1, 1])
})

test('says nothing of a server that restarts in between', async (t) => {
  const { at } = unixPlace(t)
  const leaf = entry()
  let api = await WorkloadApi.listen(at, message(leaf))
  const { updates } = watch(t, { socket: at })
  await updates.identity(0)

  for (let restart = 0; restart < 3; restart++) {
    api.close()
    api = await WorkloadApi.listen(at, message(leaf))
    while (api.calls === 0) await updates.pass(250)
  }
  t.after(() => api.close())
  api.push(message())
  await updates.identity()

  assert.equal(updates.all.length, 2)
})

test('calls again when the server ends the stream, soon and not in a hurry', async (t) => {
  const { api, updates } = await setUp(t, message())
  await updates.identity(0)

  for (let i = 0; i < 20; i++) {
    api.end(i % 2 === 0 ? undefined : { code: grpc.status.UNAVAILABLE, details: 'restarting' })
    await updates.pass(1_000, 50)
  }

  assert.ok(api.calls >= 10 && api.calls <= 41, `${api.calls} calls`)
  assert.equal(updates.all.length, 1)
})

test('waits for an identity that is not there yet', async (t) => {
  const { api, updates, from } = await setUp(t, message())
  updates.stop()
  api.refusal = { code: grpc.status.PERMISSION_DENIED, details: 'no identity issued' }
  const { updates: waiting } = watch(t, { socket: api.uri })

  const error = await waiting.error(0)
  await waiting.pass(120_000)
  const [told, calls] = [waiting.all.length, api.calls]
  api.refusal = undefined

  assert.equal(
    error.message,
    `${from}answered PERMISSION_DENIED: no identity issued; register this workload with its SPIRE server, or see to it that the entry's selectors match it`,
  )
  assert.equal(told, 1)
  assert.ok(calls > 4 && calls < 20, `${calls} calls`)
  assert.equal((await waiting.identity()).id, ID)
})

for (const code of [grpc.status.INVALID_ARGUMENT, grpc.status.UNIMPLEMENTED]) {
  test(`does not ask again when it is refused with ${grpc.status[code]} at once`, async (t) => {
    const { at } = unixPlace(t)
    const api = await WorkloadApi.listen(at, message())
    t.after(() => api.close())
    api.refusal = { code, details: 'no' }
    const { updates, clock } = watch(t, { socket: at })

    const error = await updates.error(0)
    await updates.pass(HOUR, 10_000)

    assert.equal(error.message, `spiffe: ${at}: answered ${grpc.status[code]}: no; not asked again`)
    assert.deepEqual([api.calls, clock.pending, updates.all.length], [1, 0, 1])
  })

  test(`asks again when it is refused with ${grpc.status[code]} after it was served`, async (t) => {
    const { api, updates } = await setUp(t, message())
    await updates.identity(0)

    api.refusal = { code, details: 'no' }
    api.end()
    const error = await updates.error()
    api.refusal = undefined

    assert.match(error.message, /: no$/)
    assert.equal((await updates.identity()).id, ID)
  })
}

for (const code of [grpc.status.UNAVAILABLE, grpc.status.INTERNAL, grpc.status.RESOURCE_EXHAUSTED]) {
  test(`asks again when it is refused with ${grpc.status[code]}`, async (t) => {
    const { at } = unixPlace(t)
    const api = await WorkloadApi.listen(at, message())
    t.after(() => api.close())
    api.refusal = { code, details: 'later' }
    const { updates } = watch(t, { socket: at })

    const error = await updates.error(0)
    api.refusal = undefined

    assert.equal(error.message, `spiffe: ${at}: answered ${grpc.status[code]}: later`)
    assert.equal((await updates.identity()).id, ID)
  })
}

const BAD: readonly [behaviour: string, sent: SvidMessage | Buffer, text: RegExp][] = [
  ['garbage', Buffer.from('garbage'), /sent a message that is no X509SVIDResponse$/],
  ['an empty message', Buffer.alloc(0), /sent no SVID$/],
  ['an SVID without anything', message({} as SvidEntry), /sent an SVID without spiffe_id, x509_svid, x509_svid_key, bundle$/],
  [
    'an SVID without its bundle',
    message(entry(undefined, { bundle: Buffer.alloc(0) })),
    /sent an SVID for "spiffe:.*" without bundle$/,
  ],
  [
    'a bad SPIFFE ID',
    message(entry(undefined, { spiffe_id: 'spiffe://A/b' })),
    /sent an SVID for "spiffe:\/\/A\/b", which is no SPIFFE ID: /,
  ],
  [
    'the ID of another',
    message(entry(undefined, { spiffe_id: `${ID}-2` })),
    /sent the certificate of .*\/voting as that of .*\/voting-2$/,
  ],
  [
    'a certificate of garbage',
    message(entry(undefined, { x509_svid: Buffer.from('garbage') })),
    /x509_svid: no certificates in DER: /,
  ],
  [
    'half a certificate',
    message(entry(undefined, { x509_svid: makeLeaf(ROOT, ID).der.subarray(0, 300) })),
    /x509_svid: no certificates in DER: .*beyond the end$/,
  ],
  ['a key of garbage', message(entry(undefined, { x509_svid_key: Buffer.from('garbage') })), /key: the private key is broken/],
  ['the key of another', message(entry(undefined, { x509_svid_key: entry().x509_svid_key })), /the key does not fit/],
  ['a bundle of garbage', message(entry(undefined, { bundle: Buffer.from('garbage') })), /bundle: no certificates in DER: /],
  [
    'the bundle of another',
    message(entry(undefined, { bundle: FOREIGN.der })),
    /its issuer is neither among .* nor among the 1 trust anchors/,
  ],
  ['what has expired', message(entry(makeLeaf(ROOT, ID, { notAfter: time(NOW - HOUR / 2) }))), /expired/],
  [
    'more than 4 MB',
    message(entry(undefined, { bundle: Buffer.alloc(5_000_000) })),
    /sent a message of 50\d{5} bytes, at most 4194304 are taken$/,
  ],
]

for (const [behaviour, sent, text] of BAD) {
  test(`refuses ${behaviour}, keeps the last identity and takes up a good one`, async (t) => {
    const { api, updates, from } = await setUp(t, message())
    const first = await updates.identity(0)

    api.push(sent)
    const error = await updates.error()
    api.current = message()
    const second = await updates.identity()

    assert.ok(error.message.startsWith(from), error.message)
    assert.match(error.message, text)
    assert.equal((error as { code?: string }).code, 'INMESH_IDENTITY')
    assert.notEqual(second.certificates, first.certificates)
  })
}

test('takes an identity whose time has not come when it comes', async (t) => {
  const { updates, clock } = await setUp(t, message(entry(makeLeaf(ROOT, ID, { notBefore: time(NOW + HOUR) }))))

  await updates.error(0)
  clock.epoch += 2 * HOUR

  assert.equal((await updates.identity()).id, ID)
})

test('asks again when its identity runs out though the server is there, and says so', async (t) => {
  const { api, updates, clock } = await setUp(t, message())
  await updates.identity(0)

  clock.epoch += 48 * HOUR
  const error = await updates.error()
  const later = { notAfter: time(NOW + 72 * HOUR) }
  const root = makeRoot(later)
  api.current = message(entry(makeLeaf(root, ID, later), { bundle: root.der }))

  assert.match(error.message, /expired/)
  assert.equal((await updates.identity()).id, ID)
})

test('gives up on a server that never answers, and asks again', async (t) => {
  const { api, updates, from } = await setUp(t)

  const error = await updates.error()
  api.current = message()

  assert.equal(error.message, `${from}no answer in 10000 ms`)
  assert.equal((await updates.identity()).id, ID)
})

test('tells of a server that is none', async (t) => {
  const { at, directory } = unixPlace(t)
  const server = createServer((socket) => socket.on('error', () => {}).end('SSH-2.0-OpenSSH\r\n'))
  await new Promise<void>((resolve) => server.listen(`${directory}/agent.sock`, resolve))
  t.after(() => void server.close())

  const { updates } = watch(t, { socket: at })

  assert.match((await updates.error(0)).message, /agent\.sock: the connection broke \(\w+\)$/)
})

test('tells of a file in the place of the socket', async (t) => {
  const { at, directory } = unixPlace(t)
  writeFileSync(`${directory}/agent.sock`, '')

  const { updates } = watch(t, { socket: at })

  assert.match((await updates.error(0)).message, /agent\.sock: can't be reached \(ECONNREFUSED\); is the agent running\?$/)
})

test('holds the process by nothing, whether it is served or not', async (t) => {
  const today = { notBefore: time(Date.now() - HOUR), notAfter: time(Date.now() + HOUR) }
  const root = makeRoot(today)
  const { api } = await setUp(t, message(entry(makeLeaf(root, ID, today), { bundle: root.der })))
  const { at } = unixPlace(t)

  assert.equal(await runAlone('spiffe', { socket: api.uri }), 'identity')
  assert.equal(await runAlone('spiffe', { socket: at }), 'error')
})

test('leaves no call behind when it is stopped', async (t) => {
  const { api, updates } = await setUp(t, message())
  await updates.identity(0)

  updates.stop()
  while (api.streams > 0) await updates.pass(250)

  assert.deepEqual([api.streams, updates.clock.pending], [0, 0])
})

test('refuses bad options', (t) => {
  const before = process.env.SPIFFE_ENDPOINT_SOCKET
  t.after(() => {
    if (before === undefined) delete process.env.SPIFFE_ENDPOINT_SOCKET
    else process.env.SPIFFE_ENDPOINT_SOCKET = before
  })
  const expected = 'unix:///absolute/path or tcp://<ip address>:<port>'

  delete process.env.SPIFFE_ENDPOINT_SOCKET
  assert.throws(() => spiffe(), {
    code: 'INMESH_CONFIG',
    message: `spiffe.socket: missing, and $SPIFFE_ENDPOINT_SOCKET is not set: expected ${expected}`,
  })
  process.env.SPIFFE_ENDPOINT_SOCKET = '/run/agent.sock'
  assert.throws(() => spiffe(), {
    code: 'INMESH_CONFIG',
    message: `$SPIFFE_ENDPOINT_SOCKET: expected ${expected}, got "/run/agent.sock"`,
  })
  assert.throws(() => spiffe({ socket: 'tcp://localhost:80', hint: '', path: '/' } as never), {
    code: 'INMESH_CONFIG',
    message:
      `spiffe.socket: expected ${expected}, got "tcp://localhost:80"\n` +
      'spiffe.hint: expected a string that is not empty, got ""\n' +
      'spiffe.path: unknown option, expected one of socket, hint',
  })
})
