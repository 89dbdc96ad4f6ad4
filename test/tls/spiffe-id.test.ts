import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  formatSpiffeId,
  linkerdWorkloadId,
  parseSpiffeId,
  spiffeIdProblem,
  trustDomainProblem,
  workloadId,
} from '../../src/tls/spiffe-id.ts'

const RIGHT = [
  ['spiffe://example.org', 'example.org', ''],
  ['spiffe://example.org/ns/default/sa/web', 'example.org', '/ns/default/sa/web'],
  ['spiffe://a_b-c.9/A.b-_', 'a_b-c.9', '/A.b-_'],
  ['spiffe://example.org/...', 'example.org', '/...'],
  [`spiffe://${'a'.repeat(255)}/x`, 'a'.repeat(255), '/x'],
] as const

const WRONG: Readonly<Record<string, RegExp>> = {
  '': /spiffe:\/\//,
  'https://example.org/web': /spiffe:\/\//,
  'SPIFFE://example.org/web': /spiffe:\/\//,
  'spiffe:/example.org': /spiffe:\/\//,
  ' spiffe://example.org': /spiffe:\/\//,
  'spiffe://': /trust domain is missing/,
  'spiffe:///web': /trust domain is missing/,
  'spiffe://Example.org/web': /lower-case/,
  'spiffe://example.org:80/web': /lower-case/,
  'spiffe://user@example.org/web': /lower-case/,
  'spiffe://ex%61mple.org/web': /lower-case/,
  'spiffe://b\u00fccher.example/web': /lower-case/,
  'spiffe://example.org?query': /lower-case/,
  'spiffe://example.org/': /slash at the end/,
  'spiffe://example.org/web/': /slash at the end/,
  'spiffe://example.org//web': /empty segment/,
  'spiffe://example.org/./web': /segment "\."/,
  'spiffe://example.org/../web': /segment "\.\."/,
  'spiffe://example.org/web?query': /letters, digits/,
  'spiffe://example.org/web#part': /letters, digits/,
  'spiffe://example.org/w%65b': /letters, digits/,
  'spiffe://example.org/web\n': /letters, digits/,
  'spiffe://example.org/web\0': /letters, digits/,
  'spiffe://example.org/w\u00e9b': /letters, digits/,
  [`spiffe://${'a'.repeat(256)}/x`]: /256 characters/,
  [`spiffe://example.org/${'a'.repeat(2_048)}`]: /at most 2048/,
}

describe('a SPIFFE ID', () => {
  for (const [id, trustDomain, path] of RIGHT) {
    test(`is ${id.slice(0, 50)}`, () => {
      assert.deepEqual(parseSpiffeId(id), { trustDomain, path })
      assert.equal(formatSpiffeId({ trustDomain, path }), id)
    })
  }

  for (const [id, problem] of Object.entries(WRONG)) {
    test(`is not ${JSON.stringify(id.slice(0, 50))}`, () => {
      assert.match(spiffeIdProblem(id) ?? '', problem)
      assert.throws(() => parseSpiffeId(id), { code: 'INMESH_IDENTITY' })
    })
  }

  test('is not what is no string', () => {
    assert.match(spiffeIdProblem(7 as unknown as string) ?? '', /expected a string/)
  })

  test('reads as it was written, and nothing else is read', () => {
    const segment = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/)
    const domain = fc.stringMatching(/^[a-z0-9._-]{1,20}$/)
    fc.assert(
      fc.property(domain, fc.array(segment, { maxLength: 5 }), (trustDomain, segments) => {
        const path = segments.map((one) => `/${one}`).join('')
        assert.deepEqual(parseSpiffeId(formatSpiffeId({ trustDomain, path })), { trustDomain, path })
      }),
    )
    fc.assert(
      fc.property(fc.string(), (text) => spiffeIdProblem(`spiffe://x/${text}`) !== undefined || /^[A-Za-z0-9._/-]+$/.test(text)),
    )
  })
})

test('a workload is named by namespace and account', () => {
  assert.equal(workloadId('inmesh.local', 'default', 'web'), 'spiffe://inmesh.local/ns/default/sa/web')
  for (const bad of ['', 'a/b', '..', 'a b', '%41']) {
    assert.throws(() => workloadId('inmesh.local', 'default', bad), { code: 'INMESH_IDENTITY' }, bad)
  }
})

test('a trust domain that is formatted is checked', () => {
  assert.throws(() => formatSpiffeId({ trustDomain: 'Upper', path: '' }), { code: 'INMESH_IDENTITY' })
  assert.equal(trustDomainProblem('a.b'), undefined)
})

describe('a name that Linkerd gives', () => {
  const suffix = 'serviceaccount.identity.linkerd.cluster.local'

  test('is read as a SPIFFE ID', () => {
    assert.equal(linkerdWorkloadId(`web.emojivoto.${suffix}`), 'spiffe://cluster.local/ns/emojivoto/sa/web')
    assert.equal(linkerdWorkloadId(`a.b.c.emojivoto.${suffix}`), 'spiffe://cluster.local/ns/emojivoto/sa/a.b.c')
  })

  for (const name of [
    '',
    'web.emojivoto',
    `web.${suffix}`,
    `.emojivoto.${suffix}`,
    'web.emojivoto.serviceaccount.identity.linkerd',
    'web.emojivoto.serviceaccount.identity.',
    `*.emojivoto.${suffix}`,
    `Web.emojivoto.${suffix}`,
    `web_.emojivoto.${suffix}`,
    `a.x.serviceaccount.identity.y.emojivoto.${suffix}`,
    `x.emojivoto.serviceaccount.identity.${suffix}`,
    `${'a'.repeat(64)}.emojivoto.${suffix}`,
    `${'a.'.repeat(120)}emojivoto.${suffix}`,
  ]) {
    test(`is not ${JSON.stringify(name.slice(0, 60))}`, () => assert.equal(linkerdWorkloadId(name), undefined))
  }
})
