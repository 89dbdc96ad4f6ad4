import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { BelievedCertificates } from '../../src/tls/believed-certificates.ts'
import type { Certificate } from '../../src/tls/certificate.ts'
import { readRevocations } from '../../src/tls/crl.ts'
import { Revocations } from '../../src/tls/revocations.ts'
import { Verifier, type VerifierOptions } from '../../src/tls/verify.ts'
import { DOMAIN, ID, type Shown } from './cases/shown.ts'
import { CASES } from './certificate-cases.ts'
import { time } from './der-writer.ts'
import { extension, HOUR, keyIdExtension, type Made, makeIntermediate, makeLeaf, makeRoot, NOW } from './test-certificates.ts'
import { makeList } from './test-revocation-list.ts'

const ROLE = { role: 'server', now: NOW } as const

function judge({ chain, anchors, options, question }: Shown, believed: BelievedCertificates) {
  const trust = Object.fromEntries(Object.entries(anchors).map(([domain, list]) => [domain, list.map(({ pem }) => pem)]))
  return new Verifier(trust, options, believed).verify(chain, { ...ROLE, ...question })
}

/** A chain that was believed once, and what remembers it. */
function remembered(options?: VerifierOptions) {
  const root = makeRoot()
  const intermediate = makeIntermediate(root)
  const leaf = makeLeaf(intermediate, ID)
  const believed = new BelievedCertificates()
  const verifierOf = (anchor: Made) => new Verifier({ [DOMAIN]: [anchor.pem] }, options, believed)
  const verifier = verifierOf(root)
  const chain = [leaf.der, intermediate.der]
  assert.ok('id' in verifier.verify(chain, ROLE))
  assert.equal(believed.size, 2)
  const ends = (now = NOW, by = verifier) => {
    const verdict = by.verify(chain, { ...ROLE, now })
    return 'rule' in verdict ? verdict.rule : 'believed'
  }
  return { root, intermediate, leaf, believed, verifier, verifierOf, chain, ends }
}

test('every case ends as it did, whatever was believed before', () => {
  const shown = CASES.map(({ make }) => make())
  const alone = shown.map((each) => judge(each, new BelievedCertificates()))

  fc.assert(
    fc.property(fc.shuffledSubarray([...shown.keys(), ...shown.keys()], { minLength: 2 * shown.length }), (order) => {
      const believed = new BelievedCertificates()
      for (const at of order) assert.deepEqual(judge(shown[at] as Shown, believed), alone[at], CASES[at]?.name)
    }),
    { numRuns: 3 },
  )
})

describe('a chain that was believed before is refused', () => {
  test('when it has expired since, or is not valid yet by an older clock', () => {
    const { ends } = remembered()

    assert.equal(ends(NOW + 25 * HOUR), 'validity')
    assert.equal(ends(NOW - 1_000 * HOUR), 'validity')
    assert.equal(ends(), 'believed')
  })

  test('when its issuer has expired since', () => {
    const root = makeRoot()
    const intermediate = makeIntermediate(root, { notAfter: time(NOW + HOUR) })
    const chain = [makeLeaf(intermediate, ID).der, intermediate.der]
    const verifier = new Verifier({ [DOMAIN]: [root.pem] })

    const before = verifier.verify(chain, ROLE)
    const after = verifier.verify(chain, { ...ROLE, now: NOW + 2 * HOUR })

    assert.ok('id' in before)
    assert.ok('rule' in after && after.certificate.startsWith('intermediate'))
  })

  test('when a revocation list names it from now on, or its intermediate', () => {
    const revocations = new Revocations()
    const { root, intermediate, leaf, ends } = remembered({ revocations })
    const revoke = (issuer: Made, revoked: Made) =>
      revocations.replace({ lists: readRevocations(makeList({ issuer, revoked: [revoked] }), 'list') })

    revoke(intermediate, leaf)
    assert.equal(ends(), 'revoked')
    revoke(root, intermediate)
    assert.equal(ends(), 'revoked')
    revocations.replace({ lists: [] })
    assert.equal(ends(), 'believed')
  })

  test('when the list of its issuer is out of date since', () => {
    const revocations = new Revocations()
    const { intermediate, ends } = remembered({ revocations })

    revocations.replace({ lists: readRevocations(makeList({ issuer: intermediate }), 'list') })

    assert.equal(ends(), 'believed')
    assert.equal(ends(NOW + 3 * HOUR), 'revocation-list')
  })

  test('when its identity is on the deny-list from now on, or another is asked for', () => {
    const revocations = new Revocations()
    const { verifier, chain, ends } = remembered({ revocations })

    const other = verifier.verify(chain, { ...ROLE, ids: [`${ID}-else`] })
    revocations.replace({ ids: [ID] })

    assert.ok('rule' in other && other.rule === 'not-allowed')
    assert.equal(ends(), 'revoked')
  })

  test('when its root is no longer trusted, even if another has its name and key identifier', () => {
    const { root, verifierOf, ends } = remembered()
    const double = makeRoot({ subject: root.subject, extensions: { ski: keyIdExtension(root.key) } })

    assert.equal(ends(NOW, verifierOf(makeRoot())), 'untrusted')
    assert.equal(ends(NOW, verifierOf(double)), 'signature')
    assert.equal(ends(NOW, verifierOf(root)), 'believed')
  })

  test('when a single bit of it differs', () => {
    const { chain, verifier, believed } = remembered()

    fc.assert(
      fc.property(fc.nat(chain.length - 1), fc.nat(100_000), fc.nat(7), (which, at, bit) => {
        const forged = chain.map((der) => Buffer.from(der))
        const der = forged[which] as Buffer
        der[at % der.length] = (der[at % der.length] as number) ^ (1 << bit)
        return 'rule' in verifier.verify(forged, ROLE)
      }),
      { numRuns: 500 },
    )
    assert.equal(believed.size, 2)
  })
})

describe('what is remembered', () => {
  test('is read once, whoever trusts what', () => {
    const { chain, believed, verifierOf, ends } = remembered()
    const [leaf] = chain as [Buffer]
    const kept = believed.read(leaf)

    ends(NOW, verifierOf(makeRoot()))

    assert.equal(believed.read(Buffer.from(leaf)), kept)
    assert.notEqual(new BelievedCertificates().read(leaf), kept)
  })

  test('is not changed by whoever changes the bytes that were shown', () => {
    const { chain, ends } = remembered()
    const [leaf] = chain as [Buffer]
    const right = Buffer.from(leaf)

    leaf.fill(0)
    assert.equal(ends(), 'malformed')
    right.copy(leaf)

    assert.equal(ends(), 'believed')
  })

  test('is nothing of those who were refused, and nothing that was not needed', () => {
    const root = makeRoot()
    const stranger = makeRoot()
    const believed = new BelievedCertificates()
    const verifier = new Verifier({ [DOMAIN]: [root.pem] }, {}, believed)

    verifier.verify([makeLeaf(stranger, ID).der, stranger.der], ROLE)
    verifier.verify([makeLeaf(root, ID).der], { ...ROLE, ids: [`${ID}-else`] })
    assert.equal(believed.size, 0)

    assert.ok('id' in verifier.verify([makeLeaf(root, ID).der, makeIntermediate(root).der, root.der], ROLE))
    assert.equal(believed.size, 1)
  })

  test('is nothing of more than 2 KB', () => {
    const root = makeRoot()
    const believed = new BelievedCertificates()
    const verifier = new Verifier({ [DOMAIN]: [root.pem] }, {}, believed)
    const padding = extension('1.3.6.1.4.1.99999.1', Buffer.alloc(2_048))
    const { der } = makeLeaf(root, ID, { extensions: { padding } })

    assert.ok('id' in verifier.verify([der], ROLE))
    assert.equal(believed.size, 0)
  })

  test('is at most 1,000 certificates, those seen last', () => {
    const believed = new BelievedCertificates()
    const stand = (n: number) => ({ raw: Buffer.from([n >> 8, n & 255]) }) as Certificate
    const isKept = (n: number) => {
      try {
        return believed.read(stand(n).raw) !== undefined
      } catch {
        return false
      }
    }

    for (let n = 0; n < 1_000; n++) believed.keep([stand(n)])
    assert.ok(isKept(0))
    believed.keep([stand(1_000)])

    assert.equal(believed.size, 1_000)
    assert.deepEqual([0, 1, 2, 1_000].map(isKept), [true, false, true, true])
  })
})
