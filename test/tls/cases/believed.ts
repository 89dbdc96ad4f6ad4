import { integer, octetString, sequence, tagged, time } from '../der-writer.ts'
import {
  algorithm,
  basicConstraints,
  dns,
  ecKey,
  ed25519Key,
  extension,
  ip,
  type Made,
  makeIntermediate,
  makeLeaf,
  makeRoot,
  NOW,
  nameConstraints,
  rsaKey,
  uri,
} from '../test-certificates.ts'
import {
  type CertificateCase,
  constrained,
  crossSigned,
  DOMAIN,
  deep,
  expiredBesideSuccessor,
  family,
  ID,
  leafExtensions,
  leafKey,
  leafNames,
  leafWith,
  linkerd,
  rootWith,
  type Shown,
  shown,
} from './shown.ts'

/** Chains that break no rule. */
export const BELIEVED: readonly CertificateCase[] = [
  { name: 'leaf and intermediate', ends: 'believed', make: () => leafWith({}) },
  { name: 'leaf straight under the root', ends: 'believed', make: () => shown([makeLeaf(family().root, ID)]) },
  {
    name: 'the root sent along',
    ends: 'believed',
    make: () => shown([makeLeaf(family().intermediate, ID), family().intermediate, family().root]),
  },
  {
    name: 'intermediates in the wrong order',
    ends: 'believed',
    make: () => {
      const [leaf, a, b] = deep(2)
      return shown([leaf as Made, b as Made, a as Made])
    },
  },
  {
    name: 'a certificate that leads nowhere sent along',
    ends: 'believed',
    make: () => shown([makeLeaf(family().intermediate, ID), makeIntermediate(makeRoot()), family().intermediate]),
  },
  { name: 'a cross-signed intermediate, one of whose issuers is trusted', ends: 'believed', make: crossSigned },
  { name: 'an expired intermediate beside its successor', ends: 'believed', make: expiredBesideSuccessor },
  {
    name: 'two roots trusted while one takes over',
    ends: 'believed',
    make: () => leafWith({}, { anchors: { [DOMAIN]: [makeRoot(), family().root] } }),
  },
  { name: 'eight certificates deep', ends: 'believed', make: () => shown(deep(6)) },
  { name: 'RSA key of 2048 bits', ends: 'believed', make: () => leafKey(rsaKey(2048)) },
  { name: 'Ed25519 key', ends: 'believed', make: () => leafKey(ed25519Key()) },
  { name: 'P-384 key', ends: 'believed', make: () => leafKey(ecKey('P-384')) },
  { name: 'P-521 key', ends: 'believed', make: () => leafKey(ecKey('P-521')) },
  { name: 'signed by RSA with SHA-256', ends: 'believed', make: () => rootWith({ key: rsaKey(2048) }) },
  { name: 'signed by RSASSA-PSS with SHA-256', ends: 'believed', make: signedByPss },
  { name: 'signed by Ed25519', ends: 'believed', make: () => rootWith({ key: ed25519Key() }) },
  {
    name: 'DNS and IP names beside the SPIFFE ID',
    ends: 'believed',
    make: () => leafNames(uri(ID), dns('web.default.svc'), ip([10, 0, 0, 7])),
  },
  { name: 'clock a little before its beginning', ends: 'believed', make: () => leafWith({ notBefore: time(NOW + 30_000) }) },
  { name: 'expired less than the skew ago', ends: 'believed', make: () => leafWith({ notAfter: time(NOW - 30_000) }) },
  { name: 'Linkerd name, asked for', ends: 'believed', make: () => linkerd({ linkerdNames: true }) },
  {
    name: 'an unknown extension that is not critical',
    ends: 'believed',
    make: () => leafExtensions({ more: extension('1.3.6.1.4.1.99999.1', octetString(Buffer.from('x'))) }),
  },
  { name: 'one of the identities asked for', ends: 'believed', make: () => leafWith({}, { question: { ids: [ID] } }) },
  { name: 'of the trust domain asked for', ends: 'believed', make: () => leafWith({}, { question: { trustDomains: [DOMAIN] } }) },
  {
    name: 'as many CAs as are allowed',
    ends: 'believed',
    make: () => shown(deep(2, (index) => ({ extensions: { basic: basicConstraints(true, 1 - index) } }))),
  },
  { name: 'trust domain within the permitted', ends: 'believed', make: () => constrained(nameConstraints([uri(DOMAIN)])) },
  {
    name: 'trust domain below one that is permitted with a dot',
    ends: 'believed',
    make: () => constrained(nameConstraints([uri('.test')])),
  },
  {
    name: 'DNS name within the permitted',
    ends: 'believed',
    make: () => constrained(nameConstraints([dns('mesh.test')]), dns('web.mesh.test')),
  },
  {
    name: 'IP address within the permitted',
    ends: 'believed',
    make: () => constrained(nameConstraints([ip([10, 0, 0, 0, 255, 0, 0, 0])]), ip([10, 1, 2, 3])),
  },
]

function signedByPss(): Shown {
  const root = makeRoot({ key: rsaKey(2048) })
  const sha256 = algorithm('2.16.840.1.101.3.4.2.1')
  const parameters = sequence(
    tagged(0, sha256),
    tagged(1, algorithm('1.2.840.113549.1.1.8', sha256)),
    tagged(2, integer(Buffer.from([32]))),
  )
  const leaf = makeLeaf(root, ID, { innerAlgorithm: algorithm('1.2.840.113549.1.1.10', parameters), pss: true })
  return shown([leaf], { anchors: { [DOMAIN]: [root] } })
}
