import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AllowedCaller, AuthorizationOptions } from '../../../src/server/authorization/authorization-options.ts'
import type { PlainFacts } from '../support/plain-inbound.ts'
import { policy } from '../support/policy.ts'

const WEB = 'spiffe://td/ns/prod/sa/web'
const STRANGER = '203.0.113.9'
const ADMINS: readonly AllowedCaller[] = [{ identities: ['spiffe://td/ns/prod/sa/admin'] }]

describe('the default', () => {
  const CALLERS: Readonly<Record<string, PlainFacts>> = {
    stranger: { address: STRANGER },
    neighbour: { address: '10.0.0.7' },
    ours: { address: STRANGER, identity: WEB },
    theirs: { address: STRANGER, identity: 'spiffe://other/ns/a/sa/b' },
  }
  const PASS: readonly [NonNullable<AuthorizationOptions['default']>, readonly string[]][] = [
    ['all-unauthenticated', ['stranger', 'neighbour', 'ours', 'theirs']],
    ['all-authenticated', ['ours', 'theirs']],
    ['cluster-authenticated', ['ours']],
    ['cluster-unauthenticated', ['neighbour']],
    ['deny', []],
  ]
  for (const [name, pass] of PASS) {
    test(`${name} lets pass: ${pass.join(', ') || 'nobody'}`, () => {
      const refusing = policy({ default: name, trustDomain: 'td' })

      const passed = Object.keys(CALLERS).filter((caller) => refusing(CALLERS[caller]) === undefined)
      assert.deepEqual(passed, pass)
      assert.ok(Object.values(CALLERS).every((facts) => [undefined, 'default'].includes(refusing(facts))))
    })
  }

  test('is that everybody may', () => {
    assert.equal(policy({})({ address: STRANGER }), undefined)
  })

  test('can be to let pass and tell', () => {
    assert.equal(policy({ default: 'audit' })({ identity: WEB }), 'default in audit')
  })

  test('knows other networks of the cluster', () => {
    const refusing = policy({ default: 'cluster-unauthenticated', clusterNetworks: ['203.0.113.0/24'] })

    assert.deepEqual([refusing({ address: STRANGER }), refusing({ address: '10.0.0.7' })], [undefined, 'default'])
  })
})

describe('a rule', () => {
  test('asks for all of one entry, and for any of them', () => {
    const network = [{ cidr: '10.0.0.0/8' }]
    const allow = [{ identities: [WEB], networks: network }, { identities: ['spiffe://td/ns/dev/*'] }]
    const refusing = policy({ rules: [{ name: 'r', allow }] })

    const callers = [
      { identity: WEB, address: '10.0.0.1' },
      { identity: WEB, address: STRANGER },
      { address: '10.0.0.1' },
      { identity: 'spiffe://td/ns/dev/sa/a', address: STRANGER },
    ]
    assert.deepEqual(callers.map(refusing), [undefined, 'r', 'r', undefined])
  })

  test('without entries is for nobody, and an empty entry is for everybody', () => {
    assert.equal(policy({ rules: [{ name: 'r', allow: [] }] })({ identity: WEB }), 'r')
    assert.equal(policy({ default: 'deny', rules: [{ name: 'r', allow: [{}] }] })({ address: STRANGER }), undefined)
  })

  test('in audit lets pass and tells', () => {
    assert.equal(policy({ rules: [{ name: 'r', allow: [], mode: 'audit' }] })(), 'r in audit')
  })

  test('that is more specific goes before others, whichever is written first', () => {
    const rules = [
      { name: 'all', matches: [{ path: { value: '/' } }], allow: [] },
      { name: 'api', matches: [{ path: { value: '/api' } }], allow: [] },
      { name: 'exact', matches: [{ path: { type: 'Exact' as const, value: '/api/a' } }], allow: [] },
      { name: 'post', matches: [{ path: { value: '/api' }, method: 'POST' }], allow: [] },
      { name: 'header', matches: [{ path: { value: '/api' }, headers: [{ name: 'X-A', value: '1' }] }], allow: [] },
      { name: 'query', matches: [{ path: { value: '/api' }, queryParams: [{ name: 'q', value: '1' }] }], allow: [] },
      { name: 'rest', allow: [] },
    ]
    const asked: PlainFacts[] = [
      { path: '/x' },
      { path: '/api/b' },
      { path: '/api/a' },
      { path: '/api', method: 'POST' },
      { path: '/api', headers: { 'x-a': '1' } },
      { path: '/api?q=1' },
      { path: '*', method: 'OPTIONS' },
    ]

    for (const order of [rules, rules.toReversed()])
      assert.deepEqual(asked.map(policy({ rules: order })), ['all', 'api', 'exact', 'post', 'header', 'query', 'all'])
  })

  test('holds for its ports alone, and goes before one for all of them', () => {
    const rules = [
      { name: 'any', allow: [{}] },
      { name: 'admin', ports: [4191, 4192], allow: [] },
    ]
    const refusing = policy({ default: 'deny', rules })

    assert.deepEqual(
      [4191, 4192, 8080, 0].map((localPort) => refusing({ localPort })),
      ['admin', 'admin', undefined, undefined],
    )
    assert.equal(refusing({ localPort: undefined }), 'ambiguous')
  })

  test('without a path is for every target, in whichever form', () => {
    const refusing = policy({ rules: [{ name: 'r', matches: [{ method: 'GET' }], allow: [] }] })
    const byQuery = policy({ rules: [{ name: 'r', matches: [{ queryParams: [{ name: 'q', value: '1' }] }], allow: [] }] })

    for (const path of ['*', 'http://h/a', 'http://h', '//a', '/a/../b', '']) {
      assert.equal(refusing({ path }), 'r', path)
      assert.deepEqual([byQuery({ path: `${path}?q=1` }), byQuery({ path })], ['r', undefined], path)
    }
  })

  test('for the root alone is for nothing else', () => {
    const root = { path: { type: 'Exact' as const, value: '/' } }
    const refusing = policy({ rules: [{ name: 'r', matches: [root], allow: [] }] })

    const paths = ['/', '/?a', '*', 'http://h', '/a', '/healthz']
    assert.deepEqual(
      paths.map((path) => refusing({ path })),
      ['r', 'r', 'r', 'r', undefined, undefined],
    )
  })

  test('by method of gRPC is for its path, whoever serves it', () => {
    const match = { method: { service: 'emoji.Voting', method: 'Reset' } }
    const refusing = policy({ rules: [{ name: 'r', matches: [match], allow: [] }] })

    const paths = ['/emoji.Voting/Reset', '/emoji.Voting/reset', '/emoji.Voting/Results']
    assert.deepEqual(
      paths.map((path) => refusing({ path, method: 'POST' })),
      ['r', 'r', undefined],
    )
  })
})

describe('health checks', () => {
  const NOBODY = { name: 'r', allow: [] }
  const asked = (rule: object, path = '/healthz?full') => policy({ default: 'deny', rules: [{ ...NOBODY, ...rule }] })({ path })

  test('pass, whatever the default and the rules for everything say', () => {
    assert.equal(policy({ default: 'deny' })({ path: '/readyz' }), undefined)
    assert.equal(asked({}), undefined)
    assert.equal(asked({ matches: [{ path: { value: '/' } }] }), undefined)
    assert.equal(asked({ matches: [{ path: { value: '/api' } }] }), undefined)
  })

  test('are refused by a rule that names their path', () => {
    assert.equal(asked({ matches: [{ path: { value: '/healthz' } }] }), 'r')
    assert.equal(asked({ matches: [{ path: { type: 'RegularExpression', value: '/health.*' } }] }), 'r')
  })

  test('are known by their exact path alone', () => {
    for (const path of ['/healthz/', '/Healthz', '/healthz/../admin', '/x/healthz', 'http://h/healthz'])
      assert.notEqual(asked({ matches: [{ path: { value: '/api' } }] }, path), undefined, path)
  })
})

describe('a path that servers read differently', () => {
  const guarded = (match: object) => policy({ rules: [{ name: 'admin', matches: [match], allow: ADMINS }] })

  const EVASIONS = [
    ...[
      '/admin',
      '/ADMIN',
      '/Admin/',
      '/admin/',
      '/%61dmin',
      '/%41DMIN',
      '/admin;x',
      '/admin%2F',
      '/admin%2fx',
      '/admin?x',
      '/admin?#',
    ],
    ...['http://h/admin', 'HTTPS://h:1/ADMIN', '/admin//'],
  ]
  const MATCHES = {
    prefix: { path: { value: '/admin' } },
    pattern: { path: { type: 'RegularExpression', value: '/admin(/.*)?' } },
  }
  for (const [name, match] of Object.entries(MATCHES)) {
    test(`is under the rule that any of them would mean: ${name}`, () => {
      const refusing = guarded(match)

      for (const path of EVASIONS) assert.equal(refusing({ path }), 'admin', path)
      assert.equal(refusing({ path: '/administrators' }), undefined)
      assert.equal(refusing({ path: '/Other/%2F' }), undefined)
    })
  }

  test('is under an exact rule with and without a last slash', () => {
    for (const value of ['/admin', '/admin/', '/Admin', '/%61dmin']) {
      const refusing = guarded({ path: { type: 'Exact', value } })

      for (const path of ['/admin', '/admin/', '/ADMIN', '/Admin/', '/%61dmin']) assert.equal(refusing({ path }), 'admin', path)
      assert.equal(refusing({ path: '/admin/x' }), undefined)
    }
  })

  test('must be allowed in each reading', () => {
    const open = { name: 'open', matches: [{ path: { value: '/files' } }], allow: [{}] }
    const refusing = policy({
      default: 'deny',
      rules: [open, { name: 'secret', matches: [{ path: { value: '/files/secret' } }], allow: [] }],
    })

    const paths = ['/files/a%2Fb', '/Files/a', '/files/A', '/files%2fa', '/files/secret%2Fa', '/files%2Fsecret', '/files/Secret']
    assert.deepEqual(
      paths.map((path) => refusing({ path })),
      [undefined, 'default', undefined, 'default', 'secret', 'default', 'secret'],
    )
  })

  test('is refused when nobody can say what it means, but only where a rule is by path', () => {
    const paths = ['/x/../admin', '//admin', '/\\admin', '/x%2f..%2fadmin', '/%2e/admin', '/admin%00', '/%zz']

    for (const path of paths) {
      assert.equal(guarded({ path: { value: '/admin' } })({ path }), 'ambiguous')
      assert.equal(guarded({ method: 'POST' })({ path }), undefined)
      assert.equal(
        policy({ rules: [{ name: 'r', matches: [{ path: { value: '/a' } }], allow: [], mode: 'audit' }] })({ path }),
        'ambiguous in audit',
      )
    }
  })

  test('answers HEAD as GET, and methods of HTTP/2 in any case', () => {
    const refusing = guarded({ path: { value: '/admin' }, method: 'GET' })

    assert.deepEqual(
      ['GET', 'HEAD', 'get', 'POST'].map((method) => refusing({ path: '/admin', method })),
      ['admin', 'admin', 'admin', undefined],
    )
  })

  test('is refused for the rule that enforces, if another only tells', () => {
    const rules = [
      { name: 'tells', matches: [{ path: { value: '/a' } }], allow: [], mode: 'audit' as const },
      { name: 'enforces', matches: [{ path: { value: '/a/b' } }], allow: [] },
    ]

    assert.equal(policy({ rules })({ path: '/a%2Fb' }), 'enforces')
    assert.equal(policy({ rules })({ path: '/a%2Fc' }), 'tells in audit')
  })
})
