import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMesh } from '../../../src/index.ts'
import { authorizationProblems } from '../../../src/server/authorization/authorization-options.ts'
import { matching } from '../support/matching.ts'
import { serving } from '../support/serving.ts'

function problems(options: unknown, given: typeof matching | undefined = matching): string[] {
  return authorizationProblems('a', options, given)
}

test('every problem is told at once, with its place and what was got', () => {
  const rule = {
    name: 'default',
    ports: [0, 8080],
    matches: [{ path: { value: 'api' } }, 7, { path: { value: '/a/../b' } }, { method: { type: 'Exact' } }],
    allow: [{ identities: [], networks: [{ cidr: '10.0.0.0/99' }], header: 1 }, 'web'],
    mode: 'shadow',
  }

  assert.deepEqual(problems({ default: 'allow', clusterNetworks: ['x'], trustDomain: 'A/', rules: [rule, {}], extra: 1 }), [
    'a.default: expected all-unauthenticated or all-authenticated or cluster-authenticated or cluster-unauthenticated or deny or audit, got "allow"',
    'a.trustDomain: expected a trust domain such as cluster.local, got "A/"',
    'a.extra: unknown option, expected one of default, rules, clusterNetworks, trustDomain',
    'a.clusterNetworks[0]: expected an IP address or a network such as 10.0.0.0/8, got "x"',
    'a.rules[0].name: expected a name of at most 100 characters other than default, ambiguous, other, got "default"',
    'a.rules[0].mode: expected enforce or audit, got "shadow"',
    'a.rules[0].ports[0]: expected an integer from 1 to 65535, got 0',
    'a.rules[0].allow[0].header: unknown option, expected one of identities, networks',
    'a.rules[0].allow[0].identities: expected at least one, got none',
    'a.rules[0].allow[0].networks[0].cidr: expected an IP address or a network such as 10.0.0.0/8, got "10.0.0.0/99"',
    'a.rules[0].allow[1]: expected an object, got "web"',
    'a.rules[0].matches[0].path.value: expected a path that begins with /, got "api"',
    'a.rules[0].matches[1]: expected an object, got 7',
    'a.rules[0].matches[2].path.value: expected a path without query, dot segments, backslashes and // at its start, got "/a/../b"',
    'a.rules[0].matches[3].method: expected a service, a method or both, got neither',
    'a.rules[1].name: missing',
    'a.rules[1].allow: missing',
  ])
})

test('names are there once, and rules not without bound', () => {
  const rule = { name: 'r', allow: [] }

  assert.deepEqual(problems({ rules: [rule, rule] }), ['a.rules[1].name: expected each name once, got "r" again'])
  assert.deepEqual(problems({ rules: Array.from({ length: 1_001 }, () => rule) }), ['a.rules: expected at most 1000, got 1001'])
})

test('what is left out is told', () => {
  assert.deepEqual(problems({ default: 'cluster-authenticated' }), [
    'a.trustDomain: missing, as the default is cluster-authenticated and this process has no identity',
  ])
  assert.deepEqual(problems('deny'), ['a: expected an object, got "deny"'])
  assert.deepEqual(problems({ rules: [{ name: 'r', allow: [{ networks: [] }], ports: [] }] }), [
    'a.rules[0].ports: expected at least one, got none',
    'a.rules[0].allow[0].networks: expected at least one, got none',
  ])
})

test('a reception without routing has no rules for some requests only', () => {
  const authorization = { rules: [{ name: 'r', matches: [{}], allow: [] }] }

  assert.throws(() => serving({ authorization }), {
    code: 'INMESH_CONFIG',
    message: 'inbound.authorization.rules[0].matches: expected none, as this reception has no routing',
  })
})

test('what is no policy is an error, and not one that allows everything', () => {
  for (const given of [null, false, '', []])
    assert.throws(() => serving({ authorization: given as never }), {
      message: /^inbound\.authorization: expected an object, got/,
    })
})

test('a mesh with wrong rules is not made', () => {
  const rules = [{ name: 'r', allow: [{ networks: [{ cidr: '10.0.0.300' }] }] }]

  assert.throws(() => createMesh({ inbound: { authorization: { rules } } }), {
    code: 'INMESH_CONFIG',
    message:
      'inbound.authorization.rules[0].allow[0].networks[0].cidr: expected an IP address or a network such as 10.0.0.0/8, got "10.0.0.300"',
  })
})
