import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseAddress } from '../../src/core/address.ts'
import { MeshError } from '../../src/core/errors.ts'
import { type DnsHostOptions, dns } from '../../src/discovery/dns.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { conformance } from './conformance.ts'
import { type DnsRecord, type DnsServer, dnsServer } from './dns-server.ts'
import { turns, Updates } from './updates.ts'

const a = (...hosts: string[]): DnsRecord[] => hosts.map((data) => ({ type: 'A', data }))

conformance('dns', async (addresses) => {
  const server = await dnsServer()
  const change = (list: readonly string[]) => {
    server.table.set('voting', a(...list.map((text) => parseAddress(text)?.host ?? '')))
  }
  change(addresses)
  return {
    factory: dns({ servers: [server.address], maxTtlMs: 2_000 }),
    service: 'voting:8080',
    change,
    fail: () => void server.table.set('voting', 'SERVFAIL'),
    close: () => server.close(),
  }
})

async function setUp(t: TestContext, options: DnsHostOptions = {}, service = 'voting') {
  const server = await dnsServer()
  const runtime = virtualRuntime()
  const start = () => {
    const updates = new Updates(runtime.clock, dns({ servers: [server.address], ...options })(runtime), service)
    t.after(() => updates.stop())
    return updates
  }
  t.after(() => server.close())
  return { server, runtime, start }
}

const rounds = (server: DnsServer) => server.questions.filter((question) => question.startsWith('A ')).length

test('finds all addresses of both families', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('voting', [...a('10.0.0.1', '10.0.0.2'), { type: 'AAAA', data: 'fd00::1' }])

  assert.deepEqual(await start().set(), ['10.0.0.1:80', '10.0.0.2:80', '[fd00::1]:80'])
})

test('takes the port from its option, then from the name, then 80', async (t) => {
  const { server, runtime } = await setUp(t)
  server.table.set('voting', a('10.0.0.1'))
  const servers = [server.address]
  const set = async (options: DnsHostOptions, service: string) => {
    const updates = new Updates(runtime.clock, dns({ servers, ...options })(runtime), service)
    const found = await updates.set()
    updates.stop()
    return found
  }

  assert.deepEqual(await set({ port: 1 }, 'voting:2'), ['10.0.0.1:1'])
  assert.deepEqual(await set({}, 'voting:2'), ['10.0.0.1:2'])
  assert.deepEqual(await set({ host: 'voting' }, 'other:3'), ['10.0.0.1:3'])
  assert.deepEqual(await set({ host: 'voting' }, 'other'), ['10.0.0.1:80'])
})

test('asks again when the shortest TTL is over, and not before', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('voting', [
    { type: 'A', data: '10.0.0.1', ttl: 20 },
    { type: 'A', data: '10.0.0.2', ttl: 5 },
  ])
  const updates = start()
  await updates.set()
  server.table.set('voting', a('10.0.0.3'))

  await updates.pass(4_900)
  assert.equal(rounds(server), 1)
  await updates.pass(200)

  assert.equal(rounds(server), 2)
  assert.deepEqual(await updates.set(), ['10.0.0.3:80'])
})

test('asks neither more often than minTtlMs nor less often than maxTtlMs', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('voting', [{ type: 'A', data: '10.0.0.1', ttl: 0 }])
  const updates = start()
  await updates.set()

  await updates.pass(10_500)
  const eager = rounds(server)
  server.table.set('voting', [{ type: 'A', data: '10.0.0.1', ttl: 86_400 }])
  await updates.pass(1_000)
  server.questions.length = 0
  await updates.pass(95_000)

  assert.equal(eager, 11)
  assert.equal(rounds(server), 3)
})

test('does not take a changed order of the records for a change', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('voting', a('10.0.0.1', '10.0.0.2'))
  const updates = start()
  await updates.set()

  server.table.set('voting', a('10.0.0.2', '10.0.0.1'))
  await updates.pass(60_000)

  assert.ok(rounds(server) >= 2)
  assert.equal(updates.all.length, 1)
})

test('says which host resolves to nothing, and finds it once it does', async (t) => {
  const { server, start } = await setUp(t)
  const updates = start()

  const error = await updates.error()
  server.table.set('voting', a('10.0.0.1'))

  assert.ok(error instanceof MeshError)
  assert.equal(error.code, 'INMESH_DISCOVERY')
  assert.equal(error.message, 'voting: dns: no address for voting (ENOTFOUND)')
  assert.equal(error.service, 'voting')
  assert.deepEqual(await updates.set(), ['10.0.0.1:80'])
})

test('takes a name without address records for an error, not for an empty set', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('voting', [])

  assert.equal((await start().error()).message, 'voting: dns: no address for voting (ENODATA)')
})

test('waits longer after each failure, up to maxTtlMs', async (t) => {
  const { server, start } = await setUp(t, { maxTtlMs: 8_000 })
  server.table.set('voting', 'SERVFAIL')
  const updates = start()
  await updates.error()

  await updates.pass(2_000)
  const early = updates.all.length
  await updates.pass(60_000)
  const late = updates.all.length - early

  assert.ok(early >= 3 && early <= 6, `${early} failures in the first 2 s`)
  assert.ok(late >= 7 && late <= 20, `${late} failures in the next 60 s`)
})

test('keeps the records of a family that can not be asked', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('AAAA voting', [{ type: 'AAAA', data: 'fd00::1' }])
  server.table.set('A voting', a('10.0.0.1'))
  const updates = start()
  await updates.set()

  server.table.set('AAAA voting', 'SERVFAIL')
  server.table.set('A voting', a('10.0.0.2'))

  assert.deepEqual(await updates.set(), ['10.0.0.2:80', '[fd00::1]:80'])
})

test('gives up on a server that does not answer, and says so', async (t) => {
  const { server, start, runtime } = await setUp(t)
  server.table.set('voting', 'silence')
  const updates = start()
  while (server.questions.length < 2) await turns()

  runtime.clock.advance(5_000)

  assert.equal((await updates.error()).message, 'voting: dns: no answer for voting in 5000 ms (ETIMEOUT)')
})

test('leaves no timer and no question when it is stopped before the answer', async (t) => {
  const { server, start, runtime } = await setUp(t)
  server.table.set('voting', 'silence')
  const updates = start()
  while (server.questions.length < 2) await turns()

  updates.stop()

  assert.equal(runtime.clock.pending, 0)
  await turns(20)
  assert.deepEqual(updates.all, [])
})

test('says that no DNS server listens', async (t) => {
  const { server, runtime } = await setUp(t)
  await server.close()
  server.close = async () => {}
  const updates = new Updates(runtime.clock, dns({ servers: [server.address] })(runtime), 'voting')

  const { message } = await updates.error()
  updates.stop()

  assert.match(message, /^voting: dns: (can't resolve voting \(ECONNREFUSED\)|no answer for voting in 5000 ms \(ETIMEOUT\))$/)
})

test('knows localhost, and asks nobody for an IP address', async (t) => {
  const { server, start, runtime } = await setUp(t, {}, '[::1]:8080')
  const localhost = new Updates(runtime.clock, dns()(runtime), 'localhost:3000')

  const found = await localhost.set()
  localhost.stop()

  assert.ok(found.includes('127.0.0.1:3000') || found.includes('[::1]:3000'))
  assert.deepEqual(await start().set(), ['[::1]:8080'])
  assert.deepEqual(server.questions, [])
})

test('says that a name can not be a host', async (t) => {
  const { start } = await setUp(t, {}, 'no host')

  assert.equal((await start().error()).message, 'no host: dns: the name is no host name, set dns.host')
})

test('refuses bad options, all at once', () => {
  assert.throws(() => dns({ host: 'voting:80', port: 0, servers: ['nonsense'], ttl: 1 } as DnsHostOptions), {
    code: 'INMESH_CONFIG',
    message: [
      'dns.host: expected a host name or an IP address without a port, got "voting:80"',
      'dns.port: expected an integer from 1 to 65535, got 0',
      'dns.servers: expected an array of at least one ip or ip:port, got an array',
      'dns.ttl: unknown option, expected one of minTtlMs, maxTtlMs, servers, host, port',
    ].join('\n'),
  })
  assert.throws(() => dns({ minTtlMs: 40_000 }), { message: 'dns.minTtlMs: expected at most maxTtlMs (30000), got 40000' })
})
