import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { addressTarget, parseTarget } from '../../src/intercept/grpc/target.ts'

describe('a target', () => {
  test('names an authority, with or without the scheme for DNS', () => {
    const voting = { authority: 'Voting:8080', host: 'voting' }

    assert.deepEqual(parseTarget('Voting:8080'), { ...voting, uri: 'dns:Voting:8080' })
    assert.deepEqual(parseTarget('dns:Voting:8080'), { ...voting, uri: 'dns:Voting:8080' })
    assert.deepEqual(parseTarget('dns:///Voting:8080'), { ...voting, uri: 'dns:///Voting:8080' })
    assert.equal(parseTarget('voting')?.authority, 'voting')
    assert.equal(parseTarget('[::1]:80')?.host, '::1')
  })

  test('of another kind is not ours', () => {
    for (const target of [
      'unix:/tmp/s',
      'ipv4:1.2.3.4:5',
      'xds:///voting',
      'dns://8.8.8.8/voting',
      'http://voting',
      '',
      'voting:0',
      ' voting',
    ])
      assert.equal(parseTarget(target), undefined, target)
  })
})

test('an address is dialled as what it is', () => {
  assert.equal(addressTarget({ host: '10.0.0.7', port: 80 }), 'ipv4:10.0.0.7:80')
  assert.equal(addressTarget({ host: '::1', port: 80 }), 'ipv6:[::1]:80')
  assert.equal(addressTarget({ host: 'node-7.internal', port: 80 }), 'dns:///node-7.internal:80')
})
