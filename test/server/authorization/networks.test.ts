import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLUSTER_NETWORKS, networkProblems, networksTest } from '../../../src/server/authorization/networks.ts'

test('a network is without its exceptions', () => {
  const isIn = networksTest([{ cidr: '10.0.0.0/8', except: ['10.6.0.0/16', '10.7.7.7'] }, { cidr: '2001:db8::/32' }])

  const inside = ['10.1.2.3', '::ffff:10.1.2.3', '::ffff:a01:203', '2001:db8::1', '10.7.7.8']
  const outside = ['10.6.1.1', '::ffff:10.6.1.1', '10.7.7.7', '11.0.0.1', '2001:db9::1', '', 'localhost', '10.1.2.3.4', '10.1']
  assert.deepEqual(inside.filter(isIn), inside)
  assert.deepEqual(outside.filter(isIn), [])
})

test('what was answered for one address does not hold for another', () => {
  const isIn = networksTest([{ cidr: '10.0.0.0/8' }])

  assert.deepEqual(['10.0.0.1', '10.0.0.1', '6.6.6.6', '6.6.6.6', '10.0.0.1', ''].map(isIn), [
    true,
    true,
    false,
    false,
    true,
    false,
  ])
})

test('an exception of one network is no exception of another', () => {
  const isIn = networksTest([{ cidr: '10.0.0.0/8', except: ['10.6.0.0/16'] }, { cidr: '10.6.6.6' }])

  assert.deepEqual(['10.6.6.6', '10.6.6.7'].map(isIn), [true, false])
})

test("the cluster's networks are the private ones and the loopback", () => {
  const isIn = networksTest(CLUSTER_NETWORKS.map((cidr) => ({ cidr })))

  const inside = ['10.255.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', '100.64.0.1', '127.0.0.1', '::1', 'fd12::1']
  assert.deepEqual(inside.filter(isIn), inside)
  assert.deepEqual(['172.32.0.1', '100.128.0.1', '8.8.8.8', '2001:db8::1', 'fe80::1', 'fe80::1%eth0'].filter(isIn), [])
})

test('what is no network is told with its place', () => {
  assert.deepEqual(networkProblems('n', { cidr: '10.0.0.0/33', except: ['a', '::1/8'], more: 1 }), [
    'n.cidr: expected an IP address or a network such as 10.0.0.0/8, got "10.0.0.0/33"',
    'n.more: unknown option, expected one of cidr, except',
    'n.except[0]: expected an IP address or a network such as 10.0.0.0/8, got "a"',
  ])
  assert.deepEqual(networkProblems('n', { except: '10.0.0.1' }), ['n.cidr: missing', 'n.except: expected a list, got "10.0.0.1"'])
})
