import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { parseAddress } from '../../src/core/address.ts'
import type { MeshError } from '../../src/core/errors.ts'
import { type SrvOptions, srv } from '../../src/discovery/srv.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { conformance } from './conformance.ts'
import { type DnsRecord, dnsServer } from './dns-server.ts'
import { Updates } from './updates.ts'

const NAME = '_http._tcp.voting.example'

const record = (target: string, port: number, weight = 0, priority = 0): DnsRecord => ({
  type: 'SRV',
  target,
  port,
  weight,
  priority,
})
const host = (data: string): DnsRecord[] => [{ type: 'A', data, ttl: 1 }]

conformance('srv', async (addresses) => {
  const server = await dnsServer()
  const change = (list: readonly string[]) => {
    const parsed = list.map((text) => parseAddress(text) ?? { host: '', port: 0 })
    server.table.set(
      NAME,
      parsed.map(({ port }, i) => record(`host${i}.example`, port)),
    )
    for (const [i, { host: ip }] of parsed.entries()) server.table.set(`host${i}.example`, host(ip))
  }
  change(addresses)
  return {
    factory: srv({ servers: [server.address] }),
    service: NAME,
    change,
    fail: () => void server.table.set(NAME, 'SERVFAIL'),
    close: () => server.close(),
  }
})

async function setUp(t: TestContext, options: SrvOptions = {}, service = NAME) {
  const server = await dnsServer()
  const runtime = virtualRuntime()
  const start = () => {
    const updates = new Updates(runtime.clock, srv({ servers: [server.address], ...options })(runtime), service)
    t.after(() => updates.stop())
    return updates
  }
  t.after(() => server.close())
  return { server, start }
}

test('takes hosts, ports and weights of the lowest priority number only', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set(NAME, [record('a.example', 8080, 3, 1), record('b.example', 8081, 1, 1), record('c.example', 8082, 1, 2)])
  server.table.set('a.example', host('10.0.0.1'))
  server.table.set('b.example', host('10.0.0.2'))
  server.table.set('c.example', host('10.0.0.3'))

  const update = await start().next()

  assert.deepEqual(update, {
    addresses: [
      { host: '10.0.0.1', port: 8080, weight: 3, metadata: { target: 'a.example' } },
      { host: '10.0.0.2', port: 8081, weight: 1, metadata: { target: 'b.example' } },
    ],
  })
  assert.ok(!server.questions.includes('A c.example'))
})

test('shares a weight out among the addresses of its target', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set(NAME, [record('a.example', 80, 4), record('b.example', 80, 2)])
  server.table.set('a.example', [...host('10.0.0.1'), { type: 'AAAA', data: 'fd00::1' }])
  server.table.set('b.example', host('10.0.0.2'))

  const update = await start().next()

  assert.ok('addresses' in update)
  assert.deepEqual(
    update.addresses.map(({ weight }) => weight),
    [2, 2, 2],
  )
})

test('gives weight 0 a very small share, or the same to all when all are 0', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set('a.example', host('10.0.0.1'))
  server.table.set('b.example', host('10.0.0.2'))

  server.table.set(NAME, [record('a.example', 80, 0), record('b.example', 80, 10)])
  const mixed = await start().next()
  server.table.set(NAME, [record('a.example', 80, 0), record('b.example', 80, 0)])
  const zeros = await start().next()

  assert.ok('addresses' in mixed && 'addresses' in zeros)
  assert.deepEqual(
    mixed.addresses.map(({ weight }) => weight),
    [0.1, 10],
  )
  assert.deepEqual(
    zeros.addresses.map(({ weight }) => weight),
    [undefined, undefined],
  )
})

test('takes a target of a single dot for a service without endpoints', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set(NAME, [record('.', 0)])

  assert.deepEqual(await start().next(), { addresses: [] })
})

test('reports what resolves while a target does not, and the rest when it does', async (t) => {
  const { server, start } = await setUp(t)
  server.table.set(NAME, [record('a.example', 80), record('b.example', 80)])
  server.table.set('a.example', host('10.0.0.1'))
  const updates = start()
  const partial = await updates.set()

  server.table.set('b.example', host('10.0.0.2'))

  assert.deepEqual(partial, ['10.0.0.1:80'])
  assert.deepEqual(await updates.set(), ['10.0.0.1:80', '10.0.0.2:80'])
})

test('says whether the records or their targets are missing', async (t) => {
  const { server, start } = await setUp(t)

  const none = await start().error()
  server.table.set(NAME, [record('gone.example', 80)])
  const gone = await start().error()
  server.table.set('gone.example', 'SERVFAIL')
  const broken = await start().error()

  assert.equal((none as MeshError).code, 'INMESH_DISCOVERY')
  assert.equal(none.message, `${NAME}: srv: no SRV record for ${NAME} (ENOTFOUND)`)
  assert.equal(gone.message, `${NAME}: srv: no address for gone.example (ENOTFOUND)`)
  assert.equal(broken.message, `${NAME}: srv: can't resolve gone.example (ESERVFAIL)`)
})

test('asks for its own name when it has one', async (t) => {
  const { server, start } = await setUp(t, { name: NAME }, 'voting:8080')
  server.table.set(NAME, [record('a.example', 80)])
  server.table.set('a.example', host('10.0.0.1'))

  assert.deepEqual(await start().set(), ['10.0.0.1:80'])
})

test('refuses bad options', () => {
  assert.throws(() => srv({ name: '', port: 1 } as SrvOptions), {
    code: 'INMESH_CONFIG',
    message: [
      'srv.name: expected a string that is not empty, got ""',
      'srv.port: unknown option, expected one of minTtlMs, maxTtlMs, servers, name',
    ].join('\n'),
  })
})
