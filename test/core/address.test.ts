import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  byAddressName,
  distinctAddresses,
  parseAddress,
  parseAuthority,
  readAddress,
  sameAddresses,
} from '../../src/core/address.ts'
import { addressName } from '../../src/core/endpoint.ts'

test('reads hosts with and without a port', () => {
  assert.deepEqual(parseAuthority('Voting'), { host: 'voting', port: undefined })
  assert.deepEqual(parseAuthority('voting.example:8080'), { host: 'voting.example', port: 8080 })
  assert.deepEqual(parseAuthority('[::1]:8080'), { host: '::1', port: 8080 })
  assert.deepEqual(parseAuthority('[0:0::1]'), { host: '::1', port: undefined })
  assert.deepEqual(parseAuthority('FE80::1%eth0'), { host: 'fe80::1%eth0', port: undefined })
  assert.deepEqual(parseAuthority('my_service:1'), { host: 'my_service', port: 1 })
})

test('refuses what is no address', () => {
  const bad = [
    '',
    ':80',
    'voting',
    'voting:',
    'voting:0',
    'voting:65536',
    'voting:8o',
    'a:b:1',
    '[voting]:80',
    '[::1',
    '::1]:80',
    '10.0.0.300:80',
  ]
  const worse = [
    'http://voting:80',
    'voting/x:80',
    'a b:80',
    '-a:80',
    'a-:80',
    'a..b:80',
    `${'a'.repeat(64)}:80`,
    `${'a.'.repeat(130)}a:80`,
    '1.2.3:80',
    '../x:80',
  ]

  assert.deepEqual(
    [...bad, ...worse].filter((text) => parseAddress(text) !== undefined),
    [],
  )
})

test('reads back every address it can name', () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain())
  fc.assert(
    fc.property(host, fc.integer({ min: 1, max: 65_535 }), (host, port) => {
      const read = readAddress('a', { host, port }, [])
      assert.ok(read)
      assert.deepEqual(parseAddress(addressName(read)), read)
    }),
  )
})

test('never throws, whatever it is given', () => {
  fc.assert(
    fc.property(fc.anything(), fc.string(), (value, text) => {
      const problems: string[] = []
      const read = readAddress('a', value, problems)
      parseAuthority(text)
      assert.equal(read === undefined, problems.length > 0)
    }),
  )
})

test('says what is wrong with an object', () => {
  const problems: string[] = []

  readAddress('a', { port: 80, weight: 0, zone: '', metadata: { version: 2 } }, problems)

  assert.deepEqual(problems, [
    'a.host: missing',
    'a.weight: expected a number above 0, got 0',
    'a.zone: expected a string that is not empty, got ""',
    'a.metadata: expected an object whose values are strings, got an object',
  ])
})

test('keeps the first of each host and port', () => {
  const a = { host: 'a', port: 1, zone: 'x' }
  const b = { host: 'b', port: 1 }

  assert.deepEqual(distinctAddresses([a, b, { host: 'a', port: 1 }]), [a, b])
  assert.deepEqual([b, a].sort(byAddressName), [a, b])
})

test('tells sets apart by any property', () => {
  const a = { host: 'a', port: 1, metadata: { version: '1' } }

  assert.ok(sameAddresses([a], [{ ...a, metadata: { version: '1' } }]))
  assert.ok(!sameAddresses([a], []))
  assert.ok(!sameAddresses([a], [{ ...a, metadata: { version: '2' } }]))
  assert.ok(!sameAddresses([a], [{ ...a, metadata: {} }]))
  for (const change of [{ host: 'b' }, { port: 2 }, { weight: 2 }, { zone: 'z' }, { identity: 'i' }]) {
    assert.ok(!sameAddresses([a], [{ ...a, ...change }]))
  }
})
