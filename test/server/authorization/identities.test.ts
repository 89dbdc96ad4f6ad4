import assert from 'node:assert/strict'
import { test } from 'node:test'
import { anIdentityPattern, identitiesTest, ofTrustDomain } from '../../../src/server/authorization/identities.ts'

const WEB = 'spiffe://td/ns/prod/sa/web'
const LINKERD = 'web.prod.serviceaccount.identity.linkerd.cluster.local'

function matched(pattern: string, ...identities: string[]): boolean[] {
  return identities.map(identitiesTest([pattern]))
}

test('an identity is named exactly', () => {
  assert.deepEqual(matched(WEB, WEB, `${WEB}x`, `${WEB}/y`, 'spiffe://td/ns/prod/sa'), [true, false, false, false])
  assert.deepEqual(matched(LINKERD, LINKERD, `x.${LINKERD}`), [true, false])
})

test('a prefix holds for whole segments below it', () => {
  const identities = [
    WEB,
    'spiffe://td/ns/prod',
    'spiffe://td/ns/prod/',
    'spiffe://td/ns/production/sa/web',
    'spiffe://td2/ns/prod/sa/web',
  ]

  assert.deepEqual(matched('spiffe://td/ns/prod/*', ...identities), [true, false, false, false, false])
  assert.deepEqual(matched('spiffe://td/*', WEB, 'spiffe://td', 'spiffe://td.evil/ns/prod/sa/web'), [true, false, false])
})

test('a suffix holds for whole labels before it, and for names alone', () => {
  const identities = [LINKERD, LINKERD.replace('prod', 'dev'), 'prod.serviceaccount.identity.linkerd.cluster.local']
  const pattern = '*.prod.serviceaccount.identity.linkerd.cluster.local'

  assert.deepEqual(matched(pattern, ...identities), [true, false, false])
  assert.deepEqual(matched(pattern, `spiffe://evil/${LINKERD}`), [false])
})

test('a star is whoever has proved any', () => {
  assert.deepEqual(matched('*', WEB, LINKERD), [true, true])
})

test('a trust domain is what SPIFFE IDs begin with, and what names end with', () => {
  const isOurs = identitiesTest(ofTrustDomain('cluster.local'))

  const identities = ['spiffe://cluster.local/ns/a/sa/b', LINKERD, WEB, 'spiffe://cluster.local.evil/a', 'x.evilcluster.local']
  assert.deepEqual(identities.map(isOurs), [true, true, false, false, false])
})

test('what could be meant for a pattern and is none is refused', () => {
  const right = [WEB, 'spiffe://td', 'spiffe://td/*', 'spiffe://td/ns/prod/*', LINKERD, '*.cluster.local', '*']
  const wrong = [
    '',
    'spiffe://td/ns/pr*',
    'spiffe://td/*/sa',
    'spiffe://*',
    'spiffe://td/',
    'spiffe://TD/a',
    'spiffe://td/a/../b',
    '*.',
    'a.*',
  ]
  const others = ['**', 'Web.prod', 'spiffe://td/a?b', 'https://td/a', 42, undefined, `spiffe://td/${'a'.repeat(2_050)}`]

  assert.deepEqual(
    right.map(anIdentityPattern),
    right.map(() => undefined),
  )
  for (const pattern of [...wrong, ...others]) assert.match(String(anIdentityPattern(pattern)), /SPIFFE ID/, String(pattern))
})
