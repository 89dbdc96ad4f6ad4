import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { printable } from '../../src/core/printable.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { name } from '../tls/der-writer.ts'
import { make, makeRoot, NOW } from '../tls/test-certificates.ts'
import { inmesh, inmeshAt, workDirectory } from './command-line.ts'

const DAY = 86_400_000
const ID = 'spiffe://prod.example/ns/default/sa/voting'
const work = workDirectory()
const leafFile = join(work, 'voting', 'tls.crt')
const clock = new VirtualClock()

ownRuntimeDirectory()

before(async () => {
  clock.epoch = Date.now()
  await inmeshAt(clock, ['ca', 'init', '--dir', join(work, 'ca'), '--trust-domain', 'prod.example'])
  await inmeshAt(clock, ['ca', 'issue', ID, '--dir', join(work, 'ca'), '--out', join(work, 'voting')])
})

/** A file of its own, in a folder of its own unless it is told. */
function fileOf(text: string | Buffer, at = `own-${files++}`): string {
  mkdirSync(join(work, at), { recursive: true })
  writeFileSync(join(work, at, 'it.pem'), text)
  return join(work, at, 'it.pem')
}
let files = 0

const later = (ms: number): VirtualClock => {
  const other = new VirtualClock()
  other.epoch = Date.now() + ms
  return other
}

describe('ca inspect of a file', () => {
  test('shows each certificate, who signed whom, and that it is believed', async () => {
    const { code, out } = await inmesh(work, ['ca', 'inspect', leafFile])

    assert.equal(code, 0)
    assert.match(out, /SPIFFE ID +spiffe:\/\/prod\.example\/ns\/default\/sa\/voting/)
    assert.match(out, /valid until +\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \(in 24 hours\)/)
    assert.match(
      out,
      /\n {2}spiffe:.*\n {2}└─ CN=inmesh issuer of prod\.example .*\n {5}└─ CN=inmesh root of prod\.example .*, trusted here\n/,
    )
    assert.match(out, /√ believed as a server\n {2}√ believed as a client/)
  })

  test('answers in JSON with the same', async () => {
    const { out } = await inmesh(work, ['ca', 'inspect', leafFile, '--json'])

    const { certificates, verdicts, trust, hasKey, tls: handshake } = JSON.parse(out)
    assert.deepEqual(
      certificates.map((one: { kind: string; spiffeId: string; boundTo: string }) => [one.kind, one.spiffeId, one.boundTo]),
      [
        ['leaf', ID, null],
        ['intermediate', null, 'prod.example'],
      ],
    )
    assert.deepEqual(
      verdicts.map((one: { role: string; believed: boolean }) => [one.role, one.believed]),
      [
        ['server', true],
        ['client', true],
      ],
    )
    assert.deepEqual([trust, hasKey, handshake], [join(work, 'voting', 'ca.crt'), false, null])
  })

  test('never shows a private key that is in it', async () => {
    const key = readFileSync(join(work, 'voting', 'tls.key'), 'utf8')
    const file = fileOf(key + readFileSync(leafFile, 'utf8'))

    for (const flag of [[], ['--json']]) {
      const { out, err } = await inmeshAt(clock, ['ca', 'inspect', file, '--trust', join(work, 'ca', 'ca.crt'), ...flag])

      assert.match(out, flag.length === 0 ? /a private key, which is not shown/ : /"hasKey": true/)
      for (const line of key.split('\n').slice(1, -2)) assert.equal((out + err).includes(line), false)
    }
  })

  test('reads the line ends of Windows and text around', async () => {
    const file = fileOf(`Bag Attributes\r\n${readFileSync(leafFile, 'utf8').replaceAll('\n', '\r\n')}the end`)

    assert.equal((await inmeshAt(clock, ['ca', 'inspect', file, '--trust', join(work, 'ca', 'ca.crt')])).code, 0)
  })

  test('says that it has expired, and when', async () => {
    const { code, out } = await inmeshAt(later(3 * DAY), ['ca', 'inspect', leafFile])

    assert.equal(code, 1)
    assert.match(out, /valid until .*\(2 days ago\)/)
    assert.match(out, /× validity: expired at/)
    assert.match(out, /× refused as a server \(validity\): leaf certificate \(serial \w+\): expired at/)
  })

  test('names every rule that it breaks by itself', async () => {
    const file = fileOf(make({ subject: name('old') }).pem)
    const at = new VirtualClock()
    at.epoch = NOW + 100 * DAY

    const { code, out } = await inmeshAt(at, ['ca', 'inspect', file, '--json'])

    const [{ problems }] = JSON.parse(out).certificates
    assert.equal(code, 1)
    assert.deepEqual(
      problems.map(({ rule }: { rule: string }) => rule),
      ['key-usage', 'validity', 'name'],
    )
  })

  test('refuses a chain of another root, and can not tell without any', async () => {
    await inmeshAt(clock, ['ca', 'init', '--dir', join(work, 'other'), '--trust-domain', 'prod.example'])
    const file = fileOf(readFileSync(leafFile))

    const other = await inmeshAt(clock, ['ca', 'inspect', file, '--trust', join(work, 'other', 'ca.crt')])
    const unknown = await inmeshAt(clock, ['ca', 'inspect', file])

    assert.deepEqual([other.code, unknown.code], [1, 1])
    assert.match(other.out, /× refused as a server \(untrusted\)/)
    assert.match(unknown.out, /└─ CN=inmesh root of prod\.example {2}not sent, and not known here/)
    assert.match(unknown.out, /\? as a server: no trust anchors are known here, give them with --trust <file>/)
  })

  test('judges a bundle of roots as roots', async () => {
    const { code, out } = await inmeshAt(clock, ['ca', 'inspect', join(work, 'ca', 'ca.crt')])

    assert.equal(code, 0)
    assert.match(out, /kind +root/)
    assert.doesNotMatch(out, /verdict/)
  })

  test('hands nothing to the terminal that a stranger wrote for it', async () => {
    const root = makeRoot({ subject: name('evil\u001b]0;owned\u0007\u202e') })
    const at = new VirtualClock()

    const { out } = await inmeshAt(at, ['ca', 'inspect', fileOf(root.pem)])

    assert.equal(
      out.split('\n').every((line) => printable(line) === line),
      true,
    )
    assert.match(out, /evil/)
  })

  for (const [what, text, said] of [
    ['is no certificate', 'hello\n', /no certificate in it, expected a block -----BEGIN CERTIFICATE-----/],
    ['is empty', '', /no certificate in it/],
    ['is cut off', '-----BEGIN CERTIFICATE-----\nMIIB', /does not end: it is cut off or broken/],
    ['is no X.509', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', /certificate 1 of 1 can't be read/],
    ['has a megabyte', 'x'.repeat(1_000_000), /has 1 MB or more/],
  ] as const) {
    test(`says in one line that it ${what}`, async () => {
      const { code, out, err } = await inmeshAt(clock, ['ca', 'inspect', fileOf(text)])

      assert.deepEqual([code, out, err.split('\n').length], [1, '', 2])
      assert.match(err, said)
      assert.match(err, /it\.pem/)
    })
  }
})

describe('ca inspect of a server', () => {
  test('shows what it has shown in the handshake, and judges it as a server', async (t) => {
    const port = await tlsServer(t)

    const { code, out } = await inmesh(work, [
      'ca',
      'inspect',
      `127.0.0.1:${port}`,
      '--trust',
      join(work, 'ca', 'ca.crt'),
      '--json',
    ])

    const { tls: handshake, certificates, verdicts } = JSON.parse(out)
    assert.equal(code, 0)
    assert.deepEqual([handshake.protocol, handshake.alpn, certificates.length], ['TLSv1.3', 'h2', 2])
    assert.deepEqual(verdicts, [{ role: 'server', believed: true, rule: null, message: null }])
  })

  test('does not believe one whose trust anchors are not known here', async (t) => {
    const port = await tlsServer(t)

    const { code, out } = await inmeshAt(clock, ['ca', 'inspect', `localhost:${port}`])

    assert.equal(code, 1)
    assert.match(out, /^localhost:\d+: 2 certificates\nTLSv1\.3, /)
    assert.match(out, /no trust anchors are known here/)
  })

  test('sees also the certificate of one that speaks TLS 1.2 and turns strangers away', async (t) => {
    const [cert, key] = [readFileSync(leafFile), readFileSync(join(work, 'voting', 'tls.key'))]
    const server = tls.createServer({ cert, key, maxVersion: 'TLSv1.2', requestCert: true, rejectUnauthorized: true })
    const port = await listening(t, server)

    const { code, out } = await inmeshAt(clock, ['ca', 'inspect', `127.0.0.1:${port}`, '--trust', join(work, 'ca', 'ca.crt')])

    assert.equal(code, 0)
    assert.match(out, /\nTLSv1\.2, /)
  })

  test('says that a port does not speak TLS', async (t) => {
    const port = await listening(
      t,
      createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    )

    const { code, err } = await inmeshAt(clock, ['ca', 'inspect', `127.0.0.1:${port}`])

    assert.deepEqual([code, err], [1, `inmesh ca inspect: 127.0.0.1:${port}: it does not speak TLS on this port\n`])
  })

  test('gives up on a server that stays silent after 5 s', async (t) => {
    const accepted = Promise.withResolvers<void>()
    const port = await listening(
      t,
      createServer((socket) => {
        t.after(() => socket.destroy())
        socket.on('error', () => {}).on('data', () => accepted.resolve())
      }),
    )
    const asked = inmeshAt(clock, ['ca', 'inspect', `127.0.0.1:${port}`])

    await accepted.promise
    clock.advance(5_000)

    assert.match((await asked).err, /no TLS handshake within 5000 ms: is that a TLS port\?/)
  })

  test('says that nobody listens', async (t) => {
    const server = createServer()
    const port = await listening(t, server)
    server.close()
    await once(server, 'close')

    assert.match((await inmeshAt(clock, ['ca', 'inspect', `127.0.0.1:${port}`])).err, /ECONNREFUSED/)
  })
})

/** A server with the identity that was issued, which asks for a certificate and takes whoever comes. */
function tlsServer(t: TestContext): Promise<number> {
  const [cert, key] = [readFileSync(leafFile), readFileSync(join(work, 'voting', 'tls.key'))]
  const options = { cert, key, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['h2'] }
  return listening(
    t,
    tls.createServer(options, (socket) => socket.on('error', () => {}).resume()),
  )
}

async function listening(t: TestContext, server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
