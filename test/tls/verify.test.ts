import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Revocations } from '../../src/tls/revocations.ts'
import { Verifier } from '../../src/tls/verify.ts'
import { family, ID, type Shown } from './cases/shown.ts'
import { CASES } from './certificate-cases.ts'
import { makeLeaf, makeRoot, NOW } from './test-certificates.ts'

const ROLE = { role: 'server', now: NOW } as const

describe('a peer that shows', () => {
  for (const { name, ends, make } of CASES) {
    test(`${name}: ${ends}`, () => {
      const verdict = verified(make())

      if (ends !== 'believed') assert.equal('rule' in verdict ? verdict.rule : 'believed', ends, JSON.stringify(verdict))
      else assert.deepEqual('id' in verdict ? verdict.id : verdict, ID)
    })
  }
})

describe('a verifier', () => {
  test('says which certificate, which rule and what to do', () => {
    const messages = CASES.filter(({ ends }) => ends !== 'believed').map(({ make }) => {
      const verdict = verified(make())
      return 'message' in verdict ? verdict.message : ''
    })

    for (const message of messages)
      assert.match(
        message,
        /^(leaf|intermediate \d+|certificate \d+ of \d+|chain|no certificate|trust anchor|intermediate).*?: \S/,
      )
    for (const message of messages) assert.doesNotMatch(message, /[\n\r\0]|undefined|\[object/)
  })

  test('tells until when the leaf is valid', () => {
    const { root } = family()

    const verdict = new Verifier({ 'mesh.test': [root.pem] }).verify([makeLeaf(root, ID).der], ROLE)

    assert.deepEqual(verdict, { id: ID, notAfter: NOW + 86_400_000 })
  })

  test('refuses from the next handshake on who is put on the deny-list', () => {
    const { root } = family()
    const revocations = new Revocations()
    const verifier = new Verifier({ 'mesh.test': [root.pem] }, { revocations })
    const chain = [makeLeaf(root, ID).der]

    const before = verifier.verify(chain, ROLE)
    revocations.replace({ ids: [ID] })
    const after = verifier.verify(chain, ROLE)
    revocations.replace({ ids: [] })

    assert.ok('id' in before)
    assert.ok('rule' in after && after.rule === 'revoked')
    assert.ok('id' in verifier.verify(chain, ROLE))
  })

  test('never throws, whatever bytes it is shown', () => {
    const { root } = family()
    const verifier = new Verifier({ 'mesh.test': [root.pem] })
    const right = makeLeaf(root, ID).der

    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(right.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }), (changes) => {
        const der = Buffer.from(right)
        for (const [at, byte] of changes) der[at] = byte
        return der.equals(right) || 'rule' in verifier.verify([der], ROLE)
      }),
      { numRuns: 2_000 },
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => 'rule' in verifier.verify([bytes], ROLE)))
  })

  test('holds that no cut-off certificate is believed', () => {
    const { root } = family()
    const verifier = new Verifier({ 'mesh.test': [root.pem] })
    const { der } = makeLeaf(root, ID)

    for (let length = 0; length < der.length; length++) assert.ok('rule' in verifier.verify([der.subarray(0, length)], ROLE))
  })

  test('names the bundle that can not be read', () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

    assert.throws(() => new Verifier({ 'mesh.test': [broken] }), /trust anchors of mesh\.test: certificate 1: can't be read/)
    assert.throws(
      () => new Verifier({ 'mesh.test': [makeRoot().pem, 'nothing'] }),
      /trust anchors of mesh\.test: no certificate in it/,
    )
  })

  test('names every bad option', () => {
    assert.throws(
      () => new Verifier({}, { skewMs: -1, linkerdNames: 1, more: true } as never),
      /verifier\.skewMs: .*\nverifier\.linkerdNames: .*\nverifier\.more: /,
    )
  })
})

test('docs/certificates.md lists every case and how it ends', () => {
  const documented = readFileSync(join(import.meta.dirname, '../../docs/certificates.md'), 'utf8')
    .split('\n')
    .filter((line) => /^\| .* \| .* \|$/.test(line))
    .slice(2)

  assert.deepEqual(
    documented,
    CASES.map(({ name, ends }) => `| ${name} | ${ends === 'believed' ? ends : `\`${ends}\``} |`),
  )
})

function verified({ chain, anchors, options, question }: Shown) {
  const trust = Object.fromEntries(Object.entries(anchors).map(([domain, list]) => [domain, list.map(({ pem }) => pem)]))
  return new Verifier(trust, options).verify(chain, { ...ROLE, ...question })
}
