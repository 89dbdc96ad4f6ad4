import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { parseAddress } from '../../src/core/address.ts'
import type { Address } from '../../src/core/endpoint.ts'
import type { MeshError } from '../../src/core/errors.ts'
import { announce, local } from '../../src/discovery/local.ts'
import { serviceDirectory, writeEntry } from '../../src/discovery/registry/entry.ts'
import { isAlive, processStart } from '../../src/discovery/registry/process-life.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { conformance } from './conformance.ts'
import { names, turns, Updates } from './updates.ts'

function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'inmesh-test-'))
}

conformance('local', async (addresses) => {
  const directory = temporaryDirectory()
  const folder = join(directory, 'services', 'voting')
  const change = (list: readonly string[]) => {
    chmodSync(directory, 0o700)
    const files = list.map((text) => ({
      address: parseAddress(text) as Address,
      name: `${process.pid}-${text.split(/[.:]/)[3]}.json`,
    }))
    for (const { address, name } of files) writeEntry(join(folder, name), { service: 'voting', pid: process.pid, address })
    for (const name of readdirSync(folder)) if (!files.some((file) => file.name === name)) rmSync(join(folder, name))
  }
  change(addresses)
  return {
    factory: local({ directory }),
    service: 'voting',
    change,
    fail: () => chmodSync(directory, 0o755),
    close: () => rmSync(directory, { recursive: true }),
  }
})

function setUp(t: TestContext) {
  const directory = temporaryDirectory()
  const runtime = virtualRuntime()
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const start = (service = 'voting') => {
    const updates = new Updates(runtime.clock, local({ directory })(runtime), service)
    t.after(() => updates.stop())
    return updates
  }
  return { directory, runtime, start, folder: join(directory, 'services', 'voting') }
}

test('finds a server as soon as it announces itself, and forgets it as soon as it withdraws', async (t) => {
  const { directory, runtime, start } = setUp(t)
  const updates = start()
  const empty = await updates.soon()

  const registration = announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })
  const found = await updates.soon()
  registration.withdraw()
  const gone = await updates.soon()
  registration.withdraw()

  assert.deepEqual([empty, found, gone].map(names), [[], ['127.0.0.1:8080'], []])
  assert.equal(runtime.clock.now(), 0)
})

test('hands on everything that a server says of itself', async (t) => {
  const { directory, runtime, start } = setUp(t)
  const said = { host: '::1', port: 8080, zone: 'a', identity: 'voting.local', weight: 2, metadata: { version: 'v2' } }

  announce(runtime, { service: 'Voting:8080', ...said, directory })

  const metadata = { version: 'v2', pid: String(process.pid) }
  assert.deepEqual(await start('voting:9999').next(), { addresses: [{ ...said, metadata }] })
})

test('registers a server that listens everywhere under an address that can be dialled', async (t) => {
  const { directory, runtime, start } = setUp(t)
  announce(runtime, { service: 'voting', host: '::', port: 1, directory })
  announce(runtime, { service: 'voting', host: '0.0.0.0', port: 2, directory })

  // ::1 is there whether the server takes IPv4 or not; where the machine has none, the server takes IPv4
  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  assert.deepEqual((await start().set()).sort(), ['127.0.0.1:2', hasIpv6 ? '[::1]:1' : '127.0.0.1:1'].sort())
})

test('writes entries that only their user can read', (t) => {
  const { directory, runtime, folder } = setUp(t)
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })

  assert.deepEqual(readdirSync(folder), [`${process.pid}-8080.json`])
  assert.equal(statSync(join(folder, `${process.pid}-8080.json`)).mode & 0o777, 0o600)
  assert.equal(statSync(folder).mode & 0o777, 0o700)
})

test('writes its entry again when somebody removed it, until it is withdrawn', (t) => {
  const { directory, runtime, folder } = setUp(t)
  const registration = announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })

  rmSync(join(directory, 'services'), { recursive: true })
  runtime.clock.advance(5_000)
  const again = readdirSync(folder)
  registration.withdraw()
  runtime.clock.advance(60_000)

  assert.deepEqual(again, [`${process.pid}-8080.json`])
  assert.deepEqual(readdirSync(folder), [])
  assert.equal(runtime.clock.pending, 0)
})

test('does not write into a directory that somebody else made in its place', (t) => {
  const { directory, runtime } = setUp(t)
  const registration = announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })

  rmSync(directory, { recursive: true })
  mkdirSync(directory)
  chmodSync(directory, 0o777)
  runtime.clock.advance(5_000)
  const written = readdirSync(directory)
  registration.withdraw()

  assert.deepEqual(written, [])
})

test('sees servers come back after the whole registry was removed', async (t) => {
  const { directory, runtime, start } = setUp(t)
  const updates = start()
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })
  await updates.until('127.0.0.1:8080')

  rmSync(join(directory, 'services'), { recursive: true })
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8081, directory })

  await updates.until('127.0.0.1:8081')
})

test('finds processes that announce themselves at once, and drops one that is killed', { timeout: 30_000 }, async (t) => {
  const { directory, folder, start } = setUp(t)
  const updates = start()
  const ports = [8081, 8082, 8083, 8084, 8085]

  const processes = await Promise.all(ports.map((port) => startAnnouncer(t, directory, port)))
  await updates.until(...ports.map((port) => `127.0.0.1:${port}`))
  const [killed, told] = processes as [ChildProcess, ChildProcess]
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  assert.ok(existsSync(join(folder, `${killed.pid}-8081.json`)))
  await updates.until(...ports.slice(1).map((port) => `127.0.0.1:${port}`))
  told.stdin?.end()
  await updates.until(...ports.slice(2).map((port) => `127.0.0.1:${port}`))

  assert.equal(readdirSync(folder).length, 3)
})

async function startAnnouncer(t: TestContext, directory: string, port: number): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('announcer.ts', import.meta.url))
  const child = spawn(process.execPath, [script, directory, 'voting', String(port)], { stdio: ['pipe', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

test('tells a process from a later one with the same pid', async (t) => {
  const { folder, start } = setUp(t)
  const address = { host: '127.0.0.1', port: 8080 }
  const start0 = processStart(process.pid)
  writeEntry(join(folder, `${process.pid}-1.json`), { service: 'voting', pid: process.pid, start: '1', address })
  writeEntry(join(folder, `${process.pid}-2.json`), {
    service: 'voting',
    pid: process.pid,
    address: { ...address, port: 2 },
    ...(start0 && { start: start0 }),
  })

  const set = await start().set()

  assert.deepEqual(set, process.platform === 'linux' ? ['127.0.0.1:2'] : ['127.0.0.1:2', '127.0.0.1:8080'])
})

const onLinux = process.platform === 'linux' ? test : () => {}
onLinux('takes a process that has ended and was not collected for dead', { timeout: 20_000 }, async (t) => {
  // The shell ends its child and becomes a sleeper that never asks for it.
  const parent = spawn('sh', ['-c', 'sh -c "kill -9 \\$\\$" & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
  t.after(() => parent.kill('SIGKILL'))
  const [line] = await once(parent.stdout, 'data')
  const pid = Number(String(line).trim())

  while (isAlive(pid, undefined)) await turns()

  assert.equal(isAlive(process.pid, processStart(process.pid)), true)
})

test('removes what a process left half-written when it was killed', async (t) => {
  const { folder, start } = setUp(t)
  const ended = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(ended, 'exit')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${ended.pid}-80.json.tmp`), '{"serv')
  writeFileSync(join(folder, `${process.pid}-80.json.tmp`), '{"serv')

  const update = await start().next()

  assert.deepEqual(update, { addresses: [] })
  assert.deepEqual(readdirSync(folder), [`${process.pid}-80.json.tmp`])
})

test('reports the good entries first and then, once, which one is malformed', async (t) => {
  const { folder, start, directory, runtime } = setUp(t)
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, directory })
  const bad = join(folder, `${process.pid}-1.json`)
  writeFileSync(bad, '{"service":"voting"')
  const updates = start()

  const good = await updates.next()
  const error = await updates.error()
  await updates.pass(10_000)
  const told = updates.all.length
  rmSync(bad)
  const mended = await updates.next()

  assert.deepEqual(names(good), ['127.0.0.1:8080'])
  assert.match(error.message, new RegExp(`^local: .*/${process.pid}-1.json: Expected ',' or '}'`))
  assert.equal(told, 2)
  assert.deepEqual(names(mended), ['127.0.0.1:8080'])
})

test('says what is wrong with a malformed entry', async (t) => {
  const { folder, start } = setUp(t)
  mkdirSync(folder, { recursive: true })
  const content: Record<string, string> = {
    1: '',
    2: 'null',
    3: '{"pid":1}',
    4: '{"service":"voting","pid":-1}',
    5: '{"service":"voting","pid":1,"host":"a b","port":80}',
    6: '{"service":"voting","pid":1,"host":"a","port":80,"start":1}',
    7: `"${'x'.repeat(70_000)}"`,
  }
  for (const [name, text] of Object.entries(content)) writeFileSync(join(folder, `${process.pid}-${name}.json`), text)
  writeFileSync(join(folder, 'notes.txt'), 'not an entry')

  const { message } = await start().error()

  for (const expected of [
    '1.json: Unexpected end of JSON input',
    '2.json: expected an object',
    '3.json: service: expected a string',
    '4.json: pid: expected an integer >= 1',
    '5.json: address.host: expected an IP address or a host name, got "a b"',
    '6.json: start: expected a string',
    '7.json: larger than 65536 bytes',
  ]) {
    assert.ok(message.includes(expected), `${expected} in ${message}`)
  }
  assert.ok(!message.includes('notes'))
})

test('reads a bounded number of entries and says so', async (t) => {
  const { folder, start } = setUp(t)
  for (let port = 1; port <= 1_003; port++) {
    writeEntry(join(folder, `${process.pid}-${port}.json`), {
      service: 'voting',
      pid: process.pid,
      address: { host: '127.0.0.1', port },
    })
  }
  const updates = start()

  const set = await updates.set()
  const { message } = await updates.error()

  assert.equal(set.length, 1_000)
  assert.match(message, /voting: 1003 entries, only 1000 are read$/)
})

test('keeps every service name inside the registry', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.constantFrom('../x', '..', '.', '/', 'a/../../b', '\0', '%2e%2e', '*', '..\\x')),
      (service) => {
        const folder = serviceDirectory('/run/inmesh', service)
        if (folder === undefined) return
        assert.match(folder, /^\/run\/inmesh\/services\/[^/\\\0*]+$/)
        assert.notEqual(folder.split('/').at(-1)?.[0], '.')
      },
    ),
  )
  assert.equal(serviceDirectory('/run/inmesh', ''), undefined)
  assert.equal(serviceDirectory('/run/inmesh', 'x'.repeat(241)), undefined)
})

test('makes no directory for a name that is only asked for', async (t) => {
  const { directory, start } = setUp(t)

  assert.deepEqual(await start('api.example').set(), [])

  assert.deepEqual(readdirSync(join(directory, 'services')), [])
})

test("refuses another user's directory, for reading and for writing", async (t) => {
  const { directory, runtime } = setUp(t)
  const uid = process.getuid?.()
  // Only root can give a directory away; for anybody else the root directory is somebody else's.
  if (uid === 0) chownSync(directory, 12_345, 12_345)
  const theirs = uid === 0 ? directory : '/'
  const message = new RegExp(`runtime directory ${theirs}: belongs to user \\d+ and not to user ${uid}, set INMESH_RUNTIME_DIR`)
  const updates = new Updates(runtime.clock, local({ directory: theirs })(runtime), 'voting')
  t.after(() => updates.stop())

  assert.throws(() => announce(runtime, { service: 'voting', host: '127.0.0.1', port: 80, directory: theirs }), {
    code: 'INMESH_DISCOVERY',
    message,
  })
  const error = await updates.error()
  assert.equal((error as MeshError).code, 'INMESH_DISCOVERY')
  assert.match(error.message, message)
})

test('refuses a directory that others may write, and takes it once that is mended', async (t) => {
  const { directory, runtime, start } = setUp(t)
  chmodSync(directory, 0o777)
  const updates = start()

  assert.throws(() => announce(runtime, { service: 'voting', host: '127.0.0.1', port: 80, directory }), {
    code: 'INMESH_DISCOVERY',
    message: `runtime directory ${directory}: others may enter it (mode 0777), run: chmod 700 ${directory}`,
  })
  await updates.error()
  chmodSync(directory, 0o700)
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 80, directory })

  await updates.until('127.0.0.1:80')
})

test('says why it can not write its entry', (t) => {
  const { directory, runtime } = setUp(t)
  writeFileSync(join(directory, 'services'), 'in the way')

  assert.throws(() => announce(runtime, { service: 'voting', host: '127.0.0.1', port: 80, directory }), {
    code: 'INMESH_DISCOVERY',
    message: /^voting: local: .*: can't be written \(E\w+\)$/,
  })
})

test('says why it can not read the registry', async (t) => {
  const { directory, start } = setUp(t)
  mkdirSync(join(directory, 'services'))
  writeFileSync(join(directory, 'services', 'voting'), 'in the way')

  assert.match((await start().error()).message, /^voting: local: ENOTDIR/)
})

test('refuses a bad announcement and bad options', (t) => {
  const { directory, runtime } = setUp(t)

  assert.throws(() => announce(runtime, { service: '', host: 'a b', port: 0 }), {
    code: 'INMESH_CONFIG',
    message: [
      'announce.service: expected a string that is not empty',
      'announce.host: expected an IP address or a host name, got "a b"',
      'announce.port: expected an integer from 1 to 65535, got 0',
    ].join('\n'),
  })
  assert.throws(() => announce(runtime, { service: 'x'.repeat(300), host: 'a', port: 1, directory }), {
    code: 'INMESH_CONFIG',
  })
  assert.throws(() => local({ directory: 1 } as never), {
    message: 'local.directory: expected a string that is not empty, got 1',
  })
})

test('writes what another version can read: plain JSON', (t) => {
  const { directory, runtime, folder } = setUp(t)
  announce(runtime, { service: 'voting', host: '127.0.0.1', port: 8080, metadata: { version: 'v1' }, directory })

  const { start, ...entry } = JSON.parse(readFileSync(join(folder, `${process.pid}-8080.json`), 'utf8'))

  assert.deepEqual(entry, { service: 'voting', pid: process.pid, host: '127.0.0.1', port: 8080, metadata: { version: 'v1' } })
  assert.equal(start, processStart(process.pid))
})
