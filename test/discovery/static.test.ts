import assert from 'node:assert/strict'
import { test } from 'node:test'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { virtualRuntime } from '../support/virtual-time.ts'
import { conformanceOfFixed } from './conformance.ts'
import { Updates } from './updates.ts'

conformanceOfFixed('staticEndpoints', async (addresses) => ({
  factory: staticEndpoints(addresses),
  service: 'voting',
  close() {},
}))

test('keeps the order and everything that an object says', async () => {
  const runtime = virtualRuntime()
  const rich = { host: 'B.example', port: 80, weight: 2, zone: 'a', identity: 'voting.local', metadata: { version: 'v2' } }
  const updates = new Updates(runtime.clock, staticEndpoints(['[::1]:8080', rich])(runtime), 'voting')

  const update = await updates.next()

  assert.deepEqual(update, {
    addresses: [
      { host: '::1', port: 8080 },
      { ...rich, host: 'b.example' },
    ],
  })
})

test('takes an empty list for a service without endpoints', async () => {
  const runtime = virtualRuntime()
  const updates = new Updates(runtime.clock, staticEndpoints([])(runtime), 'voting')

  assert.deepEqual(await updates.next(), { addresses: [] })
})

test('names every bad address by its index and what was got', () => {
  const list = ['10.0.0.7', 42, { host: '10.0.0.8' }, { host: 'a b', port: 0, wieght: 1 }, '10.0.0.9:8080'] as string[]

  assert.throws(() => staticEndpoints(list), {
    code: 'INMESH_CONFIG',
    message: [
      'staticEndpoints[0]: expected host:port, got "10.0.0.7"',
      'staticEndpoints[1]: expected host:port or { host, port }, got 42',
      'staticEndpoints[2].port: missing',
      'staticEndpoints[3].host: expected an IP address or a host name, got "a b"',
      'staticEndpoints[3].port: expected an integer from 1 to 65535, got 0',
      'staticEndpoints[3].wieght: unknown option, expected one of host, port, weight, zone, identity, metadata',
    ].join('\n'),
  })
})

test('refuses an address that is there twice, also when it is spelt differently', () => {
  assert.throws(() => staticEndpoints(['[::1]:80', '10.0.0.7:80', '[0:0:0:0:0:0:0:1]:80']), {
    code: 'INMESH_CONFIG',
    message: 'staticEndpoints[2]: [::1]:80 is there already, as staticEndpoints[0]',
  })
})

test('refuses what is no list', () => {
  assert.throws(() => staticEndpoints('10.0.0.7:8080' as unknown as string[]), {
    code: 'INMESH_CONFIG',
    message: 'staticEndpoints: expected an array of addresses, got "10.0.0.7:8080"',
  })
})
