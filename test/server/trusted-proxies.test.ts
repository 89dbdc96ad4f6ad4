import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { clientAddress, plainAddress, trustedProxies } from '../../src/server/trusted-proxies.ts'

const trusts = trustedProxies('inbound.trustedProxies', ['10.0.0.0/8', 'fd00::/8'])

describe("the client's address", () => {
  test('is the peer itself when no proxy is trusted', () => {
    assert.equal(
      clientAddress('203.0.113.9', '1.2.3.4', () => false),
      '203.0.113.9',
    )
    assert.equal(clientAddress('203.0.113.9', '1.2.3.4', trusts), '203.0.113.9')
  })

  test('is what the last of the trusted proxies saw', () => {
    assert.equal(clientAddress('10.0.0.1', '6.6.6.6, 203.0.113.9, 10.0.0.2', trusts), '203.0.113.9')
    assert.equal(clientAddress('fd00::1', '2001:db8::5', trusts), '2001:db8::5')
  })

  test('is read with a port, too', () => {
    assert.equal(clientAddress('10.0.0.1', '203.0.113.9:4711', trusts), '203.0.113.9')
    assert.equal(clientAddress('10.0.0.1', '[2001:db8::5]:4711', trusts), '2001:db8::5')
  })

  test('goes no further than what is no address', () => {
    for (const header of ['unknown', '', ' , ', '999.1.1.1', '<script>', `${'1'.repeat(10_000)}`]) {
      assert.equal(clientAddress('10.0.0.1', header, trusts), '10.0.0.1', header.slice(0, 20))
    }
    assert.equal(clientAddress('10.0.0.1', undefined, trusts), '10.0.0.1')
  })

  test('goes through 16 proxies at most', () => {
    const header = `203.0.113.9, ${Array.from({ length: 1_000 }, (_, i) => `10.0.0.${i % 250}`).join(', ')}`

    assert.match(clientAddress('10.0.0.1', header, trusts), /^10\.0\.0\./)
  })

  test('of any header is an address', () => {
    fc.assert(
      fc.property(fc.string(), (header) => {
        clientAddress('10.0.0.1', header, trusts)
      }),
    )
  })

  test('is written as IPv4 when it is one', () => {
    assert.equal(plainAddress('::ffff:10.0.0.7'), '10.0.0.7')
    assert.equal(plainAddress('::1'), '::1')
    assert.equal(plainAddress(undefined), '')
  })
})

test('a network that is none is an error with its place', () => {
  assert.throws(
    () => trustedProxies('inbound.trustedProxies', ['10.0.0.0/8', '10.0.0.0/33', 'proxy', '1.2.3.4/8/8']),
    (error: Error) => {
      assert.equal(error.message.split('\n').length, 3)
      assert.match(
        error.message,
        /^inbound\.trustedProxies\[1\]: expected an IP address or a network .*, got "10\.0\.0\.0\/33"$/m,
      )
      return true
    },
  )
})
