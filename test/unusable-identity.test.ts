import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { staticEndpoints } from '../src/discovery/static.ts'
import { createMesh, type Mesh, type MeshOptions } from '../src/index.ts'
import { identityOf as proved } from '../src/server/secure-connection.ts'
import { files } from '../src/tls/files.ts'
import { ownRuntimeDirectory } from './support/directory.ts'
import { identityOf, ROOT, VOTING, WEB } from './support/meshed.ts'
import { cleanup } from './support/servers.ts'
import { time } from './tls/der-writer.ts'
import { HOUR } from './tls/test-certificates.ts'
import { TrialSource } from './tls/trial-identities.ts'

ownRuntimeDirectory()

const GOOD = identityOf(WEB)

type Spoil = (file: (name: string) => string) => void

const CASES: readonly [behaviour: string, spoil: Spoil, message: RegExp][] = [
  [
    'a key that does not fit its certificate',
    (file) => writeFileSync(file('tls.key'), identityOf(WEB).key, { mode: 0o600 }),
    /tls\.crt and \S+tls\.key: the key does not fit the leaf certificate \(serial \w+\): give the pair that was issued together$/,
  ],
  [
    'a certificate that is cut off',
    (file) => writeFileSync(file('tls.crt'), GOOD.certificates.slice(0, -60)),
    /tls\.crt: a block -----BEGIN CERTIFICATE----- does not end: it is cut off or broken$/,
  ],
  [
    'a certificate that has expired',
    (file) => put(file, identityOf(WEB, { lifeMs: -HOUR / 2 })),
    /leaf certificate \(serial \w+\): expired at \S+ and it is \S+: renew it, or compare the clocks$/,
  ],
  [
    'a certificate that is not valid yet',
    (file) => put(file, identityOf(WEB, { recipe: { notBefore: time(Date.now() + HOUR) } })),
    /leaf certificate \(serial \w+\): is not valid before \S+ and it is \S+: compare the clocks, or wait$/,
  ],
  [
    'a certificate that is signed by itself',
    (file) => put(file, identityOf(WEB, { recipe: { issuer: undefined } as object })),
    /is signed by itself and is none of the 1 trust anchors .*: send the whole chain, or add its root to the trust bundle$/,
  ],
  [
    'a megabyte in place of a certificate',
    (file) => writeFileSync(file('tls.crt'), 'x'.repeat(1_000_000)),
    /tls\.crt: has 1 MB or more, which no certificate or key has$/,
  ],
  [
    'a key that everybody may read',
    (file) => chmodSync(file('tls.key'), 0o644),
    /tls\.key: others may read it \(mode 0644\), run: chmod g-w,o= \S+tls\.key; in a Kubernetes volume set defaultMode: 0400/,
  ],
  ['no key at all', (file) => unlinkSync(file('tls.key')), /tls\.key: is missing \(ENOENT\)$/],
]

describe('a process that has', () => {
  for (const [behaviour, spoil, message] of CASES) {
    test(`${behaviour} calls nobody, and says what to do`, async (t) => {
      const port = await votingAt(t)
      const { mesh, file } = web(t, port)
      spoil(file)

      const error = await mesh.fetch('http://voting/').then(
        () => assert.fail('it was served'),
        ({ cause }) => cause as Error,
      )

      assert.equal((error as { code?: string }).code, 'INMESH_ATTEMPTS_FAILED')
      assert.match(error.message, message)
      assert.ok(error.message.includes(`127.0.0.1:${port}: this process has no identity to show: files: `), error.message)
      assert.doesNotMatch(error.message, /PRIVATE KEY/)
    })
  }

  test('line ends of Windows and text around its PEM calls as any other', async (t) => {
    const { mesh, file } = web(t, await votingAt(t))
    for (const name of ['tls.crt', 'tls.key', 'ca.crt']) {
      const text = { 'tls.crt': GOOD.certificates, 'tls.key': GOOD.key, 'ca.crt': ROOT.pem }[name] as string
      writeFileSync(file(name), `subject: web\r\n${text.replaceAll('\n', '\r\n')}that was it`)
    }

    assert.equal(await (await mesh.fetch('http://voting/')).text(), WEB)
  })

  test('files that vanish goes on with what it has read', async (t) => {
    const { mesh, file } = web(t, await votingAt(t))
    assert.equal(await (await mesh.fetch('http://voting/')).text(), WEB)

    for (const name of ['tls.crt', 'tls.key', 'ca.crt']) unlinkSync(file(name))

    assert.equal(await (await mesh.fetch('http://voting/')).text(), WEB)
  })
})

function put(file: (name: string) => string, identity: { readonly certificates: string; readonly key: string }): void {
  writeFileSync(file('tls.crt'), identity.certificates)
  writeFileSync(file('tls.key'), identity.key, { mode: 0o600 })
  writeFileSync(file('ca.crt'), ROOT.pem)
}

/** A caller whose identity is in files; good ones, which may be spoilt before its first call. */
function web(t: TestContext, port: number): { mesh: Mesh; file: (name: string) => string } {
  const directory = mkdtempSync(join(tmpdir(), 'inmesh-test-'))
  cleanup(t, () => rmSync(directory, { recursive: true, force: true }))
  const file = (name: string) => join(directory, name)
  put(file, GOOD)
  const voting = { discovery: staticEndpoints([{ host: '127.0.0.1', port, identity: VOTING }]), retry: 'off' as const }
  return { mesh: meshOf(t, { name: 'web', identity: files({ directory }), services: { voting } }), file }
}

/** A server that answers who calls it. */
async function votingAt(t: TestContext): Promise<number> {
  const mesh = meshOf(t, { name: 'voting', identity: new TrialSource(identityOf(VOTING)).factory })
  const server = http.createServer((request, response) => response.end(proved(request.socket)))
  cleanup(t, () => void server.close().closeAllConnections())
  return mesh.listen(server, { port: 0, host: '127.0.0.1', mode: 'strict' })
}

function meshOf(t: TestContext, options: MeshOptions): Mesh {
  const mesh = createMesh(options)
  cleanup(t, () => mesh.close())
  return mesh
}
