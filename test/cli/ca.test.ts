import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { promisify } from 'node:util'
import { systemClock, systemRandom } from '../../src/core/clock.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { files } from '../../src/tls/files.ts'
import { makeKey, requestCertificate } from '../../src/tls/issue.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { peerChain } from '../../src/tls/peer-chain.ts'
import { VirtualClock } from '../support/virtual-time.ts'
import { inmesh, inmeshAt, workDirectory } from './command-line.ts'

const ID = 'spiffe://prod.example/ns/shop/sa/voting'
const HOUR = 3_600_000
const exec = promisify(execFile)
const hasModes = process.getuid !== undefined

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

const hasOpenssl = await exec('openssl', ['version']).then(
  () => true,
  () => false,
)

describe('ca init', () => {
  test('makes a root and an issuer whose keys their owner alone may read', {
    skip: hasModes ? false : 'this system has no file modes',
  }, async () => {
    const cwd = workDirectory()

    const { code, out, err } = await inmesh(cwd, ['ca', 'init', '--trust-domain', 'prod.example'])

    assert.deepEqual([code, err], [0, ''])
    assert.match(out, /root\.key +signs issuers alone/)
    const ca = join(cwd, 'inmesh-ca')
    assert.deepEqual(readdirSync(ca).sort(), ['ca.crt', 'issuer.crt', 'issuer.key', 'root.crt', 'root.key'])
    assert.deepEqual([ca, join(ca, 'root.key'), join(ca, 'issuer.key'), join(ca, 'ca.crt')].map(modeOf), [
      '700',
      '600',
      '600',
      '644',
    ])
  })

  test('tells in JSON what it made, and nothing of a key', async () => {
    const cwd = workDirectory()

    const { out } = await inmesh(cwd, ['ca', 'init', '--dir', 'own', '--json', '--valid', '2y', '--issuer-valid', '30d'])

    const made = JSON.parse(out)
    assert.deepEqual(
      [made.trustDomain, made.root.kind, made.issuer.kind, made.root.problems],
      ['inmesh.local', 'root', 'intermediate', []],
    )
    assert.equal(made.root.keyFile, join('own', 'root.key'))
    assert.doesNotMatch(out, /PRIVATE/)
  })

  test('holds to the lives that are asked for', async () => {
    const clock = new VirtualClock()
    const dir = join(workDirectory(), 'ca')

    const { out } = await inmeshAt(clock, ['ca', 'init', '--dir', dir, '--json', '--valid', '2y', '--issuer-valid', '30d'])

    const { root, issuer } = JSON.parse(out)
    assert.equal(Date.parse(root.notAfter), clock.wall() + 2 * 365 * 24 * HOUR)
    assert.equal(Date.parse(issuer.notAfter), clock.wall() + 30 * 24 * HOUR)
  })

  test('does not replace a CA that is there unless it is forced to', async () => {
    const clock = new VirtualClock()
    const dir = join(workDirectory(), 'ca')
    const init = ['ca', 'init', '--dir', dir]
    await inmeshAt(clock, init)
    const first = readFileSync(join(dir, 'root.crt'), 'utf8')

    const refused = await inmeshAt(clock, init)
    assert.deepEqual([refused.code, refused.out], [1, ''])
    assert.match(refused.err, /root\.crt is there already: give another --dir, or --force/)
    assert.equal(readFileSync(join(dir, 'root.crt'), 'utf8'), first)

    assert.equal((await inmeshAt(clock, [...init, '--force'])).code, 0)
    assert.notEqual(readFileSync(join(dir, 'root.crt'), 'utf8'), first)
  })

  test('replaces the issuer alone, and what either has issued is believed', async () => {
    const clock = new VirtualClock()
    const work = workDirectory()
    const dir = join(work, 'ca')
    await inmeshAt(clock, ['ca', 'init', '--dir', dir])
    const issue = (out: string) => inmeshAt(clock, ['ca', 'issue', '--dir', dir, '--service', out, '--out', join(work, out)])
    await issue('before')
    const root = readFileSync(join(dir, 'root.crt'), 'utf8')

    assert.equal((await inmeshAt(clock, ['ca', 'init', '--dir', dir, '--new-issuer'])).code, 0)

    await issue('after')
    assert.equal(readFileSync(join(dir, 'root.crt'), 'utf8'), root)
    for (const name of ['before', 'after'])
      assert.equal((await inmeshAt(clock, ['ca', 'inspect', join(work, name, 'tls.crt')])).code, 0)
  })

  test('refuses a directory that others may enter', { skip: hasModes ? false : 'this system has no file modes' }, async () => {
    const work = workDirectory()
    writeFileSync(join(work, 'x'), '')
    await exec('chmod', ['755', work])

    const { code, err } = await inmeshAt(new VirtualClock(), ['ca', 'init', '--dir', work])

    assert.equal(code, 1)
    assert.match(err, /others may enter .* \(mode 0755\): run chmod 700/)
  })

  for (const [args, said] of [
    [['--trust-domain', 'Prod'], /--trust-domain: a trust domain has lower-case letters/],
    [['--valid', '10'], /--valid: expected a duration from 1h to 30y, such as .*, got "10"/],
    [['--valid', '31y'], /--valid/],
    [['--new-issuer', '--force'], /--force does not go with --new-issuer/],
  ] as const) {
    test(`refuses ${args.join(' ')} as a wrong command line`, async () => {
      const { code, err } = await inmeshAt(new VirtualClock(), ['ca', 'init', '--dir', join(workDirectory(), 'ca'), ...args])

      assert.equal(code, 2)
      assert.match(err, said)
    })
  }
})

describe('ca issue', () => {
  const work = workDirectory()
  const ca = join(work, 'inmesh-ca')
  const clock = new VirtualClock()
  const issue = (...args: string[]) => inmeshAt(clock, ['ca', 'issue', '--dir', ca, ...args])

  before(async () => {
    clock.epoch = Date.now()
    await inmesh(work, ['ca', 'init', '--trust-domain', 'prod.example'])
  })

  test('writes what the source `files` reads, the key for its owner alone', async () => {
    const { code, err, out } = await inmesh(work, ['ca', 'issue', '--service', 'voting', '--namespace', 'shop'])

    assert.deepEqual([code, err], [0, ''])
    assert.match(out, /issued spiffe:\/\/prod\.example\/ns\/shop\/sa\/voting/)
    assert.deepEqual(readdirSync(join(work, 'voting')).sort(), ['ca.crt', 'tls.crt', 'tls.key'])
    if (hasModes) assert.deepEqual([modeOf(join(work, 'voting')), modeOf(join(work, 'voting', 'tls.key'))], ['700', '600'])
  })

  test('is understood by openssl', { skip: hasOpenssl ? false : 'there is no openssl to ask' }, async () => {
    await issue(ID, '--out', join(work, 'openssl'), '--dns', 'voting.example')
    const at = (file: string) => join(work, 'openssl', file)

    const verified = await exec('openssl', [
      'verify',
      '-x509_strict',
      '-CAfile',
      at('ca.crt'),
      '-untrusted',
      at('tls.crt'),
      at('tls.crt'),
    ])
    const shown = await exec('openssl', ['x509', '-in', at('tls.crt'), '-noout', '-text'])
    const key = await exec('openssl', ['pkey', '-in', at('tls.key'), '-check', '-noout'])

    assert.match(verified.stdout, /: OK/)
    assert.match(shown.stdout, /URI:spiffe:\/\/prod\.example\/ns\/shop\/sa\/voting, DNS:voting\.example/)
    assert.match(key.stdout + key.stderr, /Key is valid/)
  })

  test('makes two processes believe each other over TLS 1.3', async (t) => {
    await issue(ID, '--out', join(work, 'server'))
    await issue('--service', 'web', '--out', join(work, 'client'))
    const [server, client] = await Promise.all([keyringOf(join(work, 'server')), keyringOf(join(work, 'client'))])
    t.after(() => {
      server.close()
      client.close()
    })

    const [atServer, atClient] = await handshake(t, server, client)

    assert.deepEqual([atServer, atClient], ['spiffe://prod.example/ns/default/sa/web', ID])
  })

  test('renews by being run again, and never replaces the files of another identity', async () => {
    const out = ['--out', join(work, 'renewed')]
    await issue(ID, ...out)
    const first = readFileSync(join(work, 'renewed', 'tls.crt'), 'utf8')

    assert.equal((await issue(ID, ...out)).code, 0)
    const second = readFileSync(join(work, 'renewed', 'tls.crt'), 'utf8')
    const other = await issue('--service', 'other', ...out)

    assert.notEqual(second, first)
    assert.equal(other.code, 1)
    assert.match(other.err, /tls\.crt is of spiffe:\/\/prod\.example\/ns\/shop\/sa\/voting: give another --out, or --force/)
    assert.equal(readFileSync(join(work, 'renewed', 'tls.crt'), 'utf8'), second)
    assert.equal((await issue('--service', 'other', ...out, '--force')).code, 0)
  })

  test('certifies the key of a request, and writes none', async () => {
    const csr = join(work, 'voting.csr')
    writeFileSync(csr, await requestCertificate(makeKey(), ID))
    const out = join(work, 'requested')

    const { code, out: text } = await issue('--csr', csr, '--out', out, '--json')

    assert.equal(code, 0)
    assert.deepEqual([JSON.parse(text).id, JSON.parse(text).keyFile, existsSync(join(out, 'tls.key'))], [ID, null, false])
    assert.equal((await inmeshAt(clock, ['ca', 'inspect', join(out, 'tls.crt')])).code, 0)
  })

  test('certifies a request of openssl, RSA and all', { skip: hasOpenssl ? false : 'there is no openssl to ask' }, async () => {
    const csr = join(work, 'rsa.csr')
    const key = ['-newkey', 'rsa:2048', '-nodes', '-keyout', join(work, 'rsa.key')]
    await exec('openssl', ['req', '-new', ...key, '-subj', '/CN=whoever', '-addext', `subjectAltName=URI:${ID}`, '-out', csr])

    const { code, out } = await issue('--csr', csr, '--out', join(work, 'rsa'), '--json')

    assert.equal(code, 0)
    assert.deepEqual([JSON.parse(out).leaf.key, JSON.parse(out).leaf.subject], ['RSA 2048', ''])
  })

  test('does not put the certificate of a request beside a key that is not its own', async () => {
    const csr = join(work, 'strange.csr')
    const out = join(work, 'strange')
    writeFileSync(csr, await requestCertificate(makeKey(), ID))
    await issue(ID, '--out', out)

    const { code, err } = await issue('--csr', csr, '--out', out)

    assert.equal(code, 1)
    assert.match(err, /tls\.key is not the key of the request: give another --out, or --force/)
  })

  test('refuses a request that was changed', async () => {
    const csr = join(work, 'changed.csr')
    const der = Buffer.from((await requestCertificate(makeKey(), ID)).replace(/-.*/g, ''), 'base64')
    der.write('x', der.indexOf('voting'))
    writeFileSync(csr, `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`)

    const { code, err } = await issue('--csr', csr, '--out', join(work, 'changed'))

    assert.equal(code, 1)
    assert.match(err, /changed\.csr: no request that can be granted: its signature is not that of its key/)
    assert.equal(existsSync(join(work, 'changed')), false)
  })

  test('says when a leaf is shorter than it was asked to be', async () => {
    const { out } = await issue('--service', 'long', '--ttl', '5y', '--out', join(work, 'long'))

    assert.match(out, /! 5 years were asked for: a leaf never outlives its issuer/)
  })

  test('is refused when the issuer has expired', async () => {
    const later = new VirtualClock()
    later.epoch = Date.now() + 400 * 24 * HOUR

    const { code, err } = await inmeshAt(later, ['ca', 'issue', ID, '--dir', ca, '--out', join(work, 'late')])

    assert.equal(code, 1)
    assert.match(err, /issuer\.crt: expired at .*: renew it/)
  })

  test('says how to make a CA where there is none', async () => {
    const { code, err } = await inmesh(workDirectory(), ['ca', 'issue', ID])

    assert.deepEqual(
      [code, err],
      [1, 'inmesh ca issue: there is no CA in inmesh-ca: give its --dir, or make one with: inmesh ca init --dir inmesh-ca\n'],
    )
  })

  for (const [args, said] of [
    [['spiffe://other.example/x'], /this CA signs for the trust domain prod\.example alone/],
    [['spiffe://prod.example'], /a workload has a path/],
    [['voting'], /"voting" is no SPIFFE ID: expected spiffe:\/\//],
    [[], /for whom\?/],
    [[ID, '--service', 'a'], /not both/],
    [['--service', 'a/b'], /is no SPIFFE ID/],
    [['--namespace', 'a'], /--namespace goes with --service/],
    [[ID, '--dns', 'no host'], /--dns: expected a host's name, got "no host"/],
    [[ID, '--ttl', '1s'], /--ttl: expected a duration from 10s/],
  ] as const) {
    test(`refuses \`${args.join(' ')}\` as a wrong command line`, async () => {
      const { code, err } = await issue(...args, '--out', join(work, 'never'))

      assert.equal(code, 2)
      assert.match(err, said)
      assert.equal(existsSync(join(work, 'never')), false)
    })
  }
})

/** The identity that the source `files` has read. */
async function keyringOf(directory: string): Promise<Keyring> {
  const runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const keyring = new Keyring({ runtime, source: files({ directory }) })
  await new Promise<void>((resolve, reject) =>
    keyring.whenPresent((update) => ('error' in update ? reject(update.error) : resolve())),
  )
  return keyring
}

/** @returns whom the server and the client have seen */
async function handshake(t: TestContext, server: Keyring, client: Keyring): Promise<unknown[]> {
  const accepted = Promise.withResolvers<tls.TLSSocket>()
  const listener = createServer((raw) => {
    const context = server.serverContext as tls.SecureContext
    const secured = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: context,
      requestCert: true,
      rejectUnauthorized: false,
    })
    secured.on('secure', () => accepted.resolve(secured)).on('error', accepted.reject)
    t.after(() => secured.destroy())
  }).listen(0, '127.0.0.1')
  t.after(() => listener.close())
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const secureContext = client.clientContext as tls.SecureContext
  const socket = tls.connect({ port, host: '127.0.0.1', secureContext, rejectUnauthorized: false })
  t.after(() => socket.destroy())
  await once(socket, 'secureConnect')
  const seen = [
    server.verify(peerChain(await accepted.promise), { role: 'client' }),
    client.verify(peerChain(socket), { role: 'server' }),
  ]
  return seen.map((peer) => (peer !== undefined && 'id' in peer ? peer.id : peer))
}
