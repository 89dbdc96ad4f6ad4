import assert from 'node:assert/strict'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { type AddressInfo, connect, createServer, type ListenOptions, type Server } from 'node:net'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type AnnounceOptions, announceServer } from '../../src/discovery/registry/announce-server.ts'
import { ownRuntimeDirectory } from '../support/directory.ts'
import { settle, virtualRuntime } from '../support/virtual-time.ts'

const directory = ownRuntimeDirectory()
const runtime = virtualRuntime()

function serverOf(t: TestContext): Server {
  const server = createServer((socket) => socket.end())
  t.after(() => server.close())
  return server
}

async function listen(server: Server, options: ListenOptions = { port: 0, host: '127.0.0.1' }): Promise<number> {
  server.listen(options)
  await once(server, 'listening')
  const address = server.address() as AddressInfo | string
  return typeof address === 'string' ? 0 : address.port
}

/** What the registry holds of a service, without what every entry has. */
function entries(service: string): Record<string, unknown>[] {
  const folder = join(directory, 'services', service)
  if (!existsSync(folder)) return []
  return readdirSync(folder).map((name) => {
    const { pid, start, ...entry } = JSON.parse(readFileSync(join(folder, name), 'utf8'))
    return entry
  })
}

/** The next warning of the process. */
async function warning(): Promise<Error & { code?: string }> {
  const [found] = await once(process, 'warning')
  return found
}

/** A path of the registry's directory that others may enter. */
function spoil(t: TestContext): void {
  chmodSync(directory, 0o755)
  t.after(() => chmodSync(directory, 0o700))
}

test('registers a server when it listens, and withdraws it when it closes', async (t) => {
  const server = serverOf(t)
  announceServer(runtime, server, 'opens', { zone: 'a', weight: 2, metadata: { version: 'v2' } })
  assert.deepEqual(entries('opens'), [])

  const port = await listen(server)
  const said = { host: '127.0.0.1', port, weight: 2, zone: 'a', metadata: { version: 'v2' } }
  assert.deepEqual(entries('opens'), [{ service: 'opens', ...said }])

  server.close()
  await once(server, 'close')
  assert.deepEqual(entries('opens'), [])
  assert.equal(server.listenerCount('listening') + server.listenerCount('close'), 0)
})

test('tells when callers can find it: once it listens and it is known who it is', async (t) => {
  const server = serverOf(t)
  let identify: (id: string) => void = () => {}
  const { entered } = announceServer(runtime, server, 'entered', {}, (told) => {
    identify = told
    return () => {}
  })
  let isEntered = false
  entered.then(() => {
    isEntered = true
  })

  await listen(server)
  await settle()
  assert.deepEqual([isEntered, entries('entered').length], [false, 0])
  identify('spiffe://trust.test/ns/default/sa/entered')
  await entered

  assert.equal(entries('entered').length, 1)
})

test('registers a server that listens already, at once', async (t) => {
  const server = serverOf(t)
  const port = await listen(server)

  const registration = announceServer(runtime, server, 'listens', { zone: undefined } as unknown as AnnounceOptions)
  assert.deepEqual(entries('listens'), [{ service: 'listens', host: '127.0.0.1', port }])

  registration.withdraw()
  registration.withdraw()
  assert.deepEqual(entries('listens'), [])
})

test('registers a server that proves who it is once that is known, and none that is closing by then', async (t) => {
  const warnings: Error[] = []
  const warned = (warning: Error) => void warnings.push(warning)
  process.on('warning', warned)
  t.after(() => process.off('warning', warned))
  const known: ((id: string) => void)[] = []
  const servers = [serverOf(t), serverOf(t)] as const
  for (const server of servers) {
    await listen(server)
    announceServer(runtime, server, 'proving', {}, (told) => {
      known.push(told)
      return () => {}
    })
  }

  const before = entries('proving').length
  servers[0].close()
  for (const told of known) told('spiffe://inmesh.local/ns/default/sa/proving')
  // warnings are told a turn later
  await new Promise(setImmediate)

  assert.equal(before, 0)
  assert.deepEqual(
    entries('proving').map(({ port, identity }) => [port, identity]),
    [[(servers[1].address() as AddressInfo).port, 'spiffe://inmesh.local/ns/default/sa/proving']],
  )
  assert.deepEqual(warnings, [])
})

test('does not register a server that was withdrawn before it listened', async (t) => {
  const server = serverOf(t)
  announceServer(runtime, server, 'early').withdraw()
  await listen(server)

  assert.deepEqual(entries('early'), [])
})

test('refuses unknown options and wrong values, all at once', (t) => {
  const server = serverOf(t)
  const refused = (options: unknown, message: RegExp) =>
    assert.throws(() => announceServer(runtime, server, 'voting', options as AnnounceOptions), { code: 'INMESH_CONFIG', message })

  refused({ foo: 1 }, /^announce\.foo: unknown option, expected one of service, metadata, zone, weight$/)
  refused({ port: 1 }, /^announce\.port: unknown option/)
  refused({ weight: 0, zone: '' }, /^announce\.weight: expected a number above 0, got 0\nannounce\.zone: expected a string/m)
  refused({ metadata: { version: 2 } }, /^announce\.metadata: expected an object whose values are strings/)
  refused(null, /^announce: expected an object, got null$/)
  assert.equal(server.listenerCount('listening'), 0)
})

test('refuses names that no client could find', (t) => {
  const server = serverOf(t)
  const names = [
    '',
    'localhost',
    'LocalHost',
    'a.localhost',
    '../x',
    'a b',
    'a/b',
    '10.0.0.7',
    '::1',
    '[::1]',
    'voting:8080',
    '.',
    'a..b',
  ]
  for (const name of [...names, 'voting.', '2fast', 'a'.repeat(64), `${'a.'.repeat(122)}a`, undefined, 7]) {
    assert.throws(
      () => announceServer(runtime, server, name as string),
      { code: 'INMESH_CONFIG', message: /^announce\.service: expected a name/ },
      String(name),
    )
  }
  assert.throws(() => announceServer(runtime, server, ''), { message: /got "" \(set it, or name the mesh\)$/ })
})

test('takes names of one label, and host names for clients that are configured so', (t) => {
  const server = serverOf(t)
  for (const name of ['voting', 'Voting', 'voting_2', 'foo.bar', 'voting.example.com'])
    announceServer(runtime, server, name).withdraw()
})

test('refuses what is no server', () => {
  const announced = (server: unknown) => () => announceServer(runtime, server as Server, 'voting')

  for (const [server, got] of [
    [undefined, 'undefined'],
    [null, 'null'],
    [8080, '8080'],
    [{}, 'an object'],
    [() => {}, 'a function'],
  ]) {
    assert.throws(announced(server), {
      code: 'INMESH_CONFIG',
      message: `announce: expected a server, got ${got} (a net.Server, or { port, host })`,
    })
  }
  assert.throws(announced({ port: 0 }), {
    code: 'INMESH_CONFIG',
    message: /^announce\.port: expected an integer from 1 to 65535, got 0$/,
  })
  assert.throws(announced({ port: 1, host: 'a b' }), { code: 'INMESH_CONFIG', message: /^announce\.host: / })
  assert.throws(announced({ port: 1, hots: 'a' }), { code: 'INMESH_CONFIG', message: /^announce\.hots: unknown option/ })
})

test('says at once that the registry cannot be used, before the server listens', (t) => {
  spoil(t)
  const server = serverOf(t)

  assert.throws(() => announceServer(runtime, server, 'voting'), { code: 'INMESH_DISCOVERY', message: /others may enter it/ })
  assert.equal(server.listenerCount('listening'), 0)
})

test('warns when the registry cannot be used any more, and the server goes on', async (t) => {
  const server = serverOf(t)
  const registration = announceServer(runtime, server, 'later')
  spoil(t)
  const warned = warning()
  const port = await listen(server)

  const { message, code } = await warned
  assert.match(message, /others may enter it/)
  assert.equal(code, 'INMESH_DISCOVERY')
  const socket = connect(port, '127.0.0.1').resume()
  await once(socket, 'close')
  registration.withdraw()
})

test('a server without a port is an error when it listens already, and a warning when it begins to', async (t) => {
  const path = join(tmpdir(), `inmesh-test-${process.pid}.sock`)
  const server = serverOf(t)
  announceServer(runtime, server, 'pipe')
  const warned = warning()
  await listen(server, { path })

  assert.equal((await warned).message, `announce: expected a server with a TCP port, got ${path}`)
  assert.throws(() => announceServer(runtime, server, 'pipe'), { code: 'INMESH_CONFIG', message: /with a TCP port/ })
})

test('an announcement that fails does not keep another of the same server', async (t) => {
  const server = serverOf(t)
  announceServer(runtime, server, 'fails')
  announceServer(runtime, server, 'works')
  // a file where the folder should be
  mkdirSync(join(directory, 'services'), { recursive: true })
  writeFileSync(join(directory, 'services', 'fails'), '')
  t.after(() => rmSync(join(directory, 'services', 'fails')))
  const warned = warning()
  await listen(server)

  assert.match((await warned).message, /^fails: local: .* can't be written/)
  assert.equal(entries('works').length, 1)
})

test('any number of announcements of a server cost one pair of listeners', async (t) => {
  const server = serverOf(t)
  const registrations = Array.from({ length: 50 }, (_, i) => announceServer(runtime, server, `many-${i}`))
  assert.deepEqual([server.listenerCount('listening'), server.listenerCount('close')], [1, 1])

  await listen(server)
  assert.equal(entries('many-49').length, 1)
  for (const registration of registrations) registration.withdraw()

  assert.deepEqual([server.listenerCount('listening'), server.listenerCount('close')], [0, 0])
  assert.deepEqual(entries('many-49'), [])
})

test('an address of a server that is no net.Server is registered at once', () => {
  const first = announceServer(runtime, { port: 50_051 }, 'grpc', { weight: 3 })
  assert.deepEqual(entries('grpc'), [{ service: 'grpc', host: '127.0.0.1', port: 50_051, weight: 3 }])
  first.withdraw()

  const second = announceServer(runtime, { port: 50_051, host: '0.0.0.0' }, 'grpc')
  assert.deepEqual(entries('grpc'), [{ service: 'grpc', host: '127.0.0.1', port: 50_051 }])
  second.withdraw()
  assert.deepEqual(entries('grpc'), [])
})

test('registers a server on every address where it answers, whether it takes IPv4 or not', async (t) => {
  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'))
  for (const options of [
    { port: 0 },
    ...(hasIpv6 ? [{ port: 0, host: '::', ipv6Only: true }] : []),
    { port: 0, host: '0.0.0.0' },
  ]) {
    const server = http.createServer((_, response) => response.end())
    t.after(() => server.close())
    announceServer(runtime, server, 'everywhere')
    const port = await listen(server, options)

    const [entry] = entries('everywhere')
    assert.equal(entry?.port, port)
    const socket = connect(port, entry?.host as string)
    await once(socket, 'connect')
    socket.destroy()
    server.close()
    await once(server, 'close')
  }
})
