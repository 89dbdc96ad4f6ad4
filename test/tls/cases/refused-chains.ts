import { name, time } from '../der-writer.ts'
import {
  basicConstraints,
  ecKey,
  extendedKeyUsage,
  HOUR,
  issuerIdExtension,
  keyUsage,
  makeLeaf,
  makeRoot,
  NOW,
  OID,
} from '../test-certificates.ts'
import {
  type CertificateCase,
  changedAt,
  DOMAIN,
  deep,
  family,
  ID,
  intermediateWith,
  leafAsIssuer,
  leafExtensions,
  leafWith,
  NONE,
  renamed,
  rootWith,
  shown,
  tangle,
} from './shown.ts'

/** What a certificate may be used for, and chains. */
export const REFUSED_CHAINS: readonly CertificateCase[] = [
  { name: 'nothing sent', ends: 'chain', make: () => shown([]) },
  {
    name: 'nine certificates sent',
    ends: 'chain',
    make: () => shown([makeLeaf(family().intermediate, ID), ...Array.from({ length: 8 }, () => family().intermediate)]),
  },
  { name: 'nine certificates deep', ends: 'chain', make: () => shown(deep(7)) },
  { name: 'CAs that have signed each other in every way', ends: 'chain', make: () => shown(tangle()) },
  { name: 'version 1', ends: 'key-usage', make: () => leafWith({ version: null, extensions: NONE }) },
  {
    name: 'version 1 root',
    ends: 'ca',
    make: () => rootWith({ version: null, extensions: { basic: null, usage: null, ski: null } }),
  },
  { name: 'expired leaf', ends: 'validity', make: () => leafWith({ notAfter: time(NOW - HOUR / 2) }) },
  { name: 'leaf that is not yet valid', ends: 'validity', make: () => leafWith({ notBefore: time(NOW + HOUR) }) },
  {
    name: 'leaf that ends before it begins',
    ends: 'validity',
    make: () => leafWith({ notBefore: time(NOW + 30_000), notAfter: time(NOW - 30_000) }),
  },
  { name: 'expired intermediate', ends: 'validity', make: () => intermediateWith({ notAfter: time(NOW - HOUR / 2) }) },
  { name: 'intermediate that is not yet valid', ends: 'validity', make: () => intermediateWith({ notBefore: time(NOW + HOUR) }) },
  { name: 'expired root', ends: 'validity', make: () => rootWith({ notAfter: time(NOW - HOUR / 2) }) },
  { name: 'a CA as leaf', ends: 'ca', make: () => leafExtensions({ basic: basicConstraints(true) }) },
  { name: 'leaf with a path length', ends: 'ca', make: () => leafExtensions({ basic: basicConstraints(false, 0) }) },
  { name: 'another leaf as issuer', ends: 'ca', make: leafAsIssuer },
  {
    name: 'intermediate without CA bit',
    ends: 'ca',
    make: () => intermediateWith({ extensions: { basic: basicConstraints(false), usage: keyUsage(0x80, 7) } }),
  },
  { name: 'intermediate without basicConstraints', ends: 'ca', make: () => intermediateWith({ extensions: { basic: null } }) },
  { name: 'root without CA bit', ends: 'ca', make: () => rootWith({ extensions: { basic: basicConstraints(false) } }) },
  { name: 'leaf that may sign certificates', ends: 'key-usage', make: () => leafExtensions({ usage: keyUsage(0x84, 2) }) },
  { name: 'leaf that may sign revocation lists', ends: 'key-usage', make: () => leafExtensions({ usage: keyUsage(0x82, 1) }) },
  { name: 'leaf without key usage', ends: 'key-usage', make: () => leafExtensions({ usage: null }) },
  { name: 'leaf that may only encipher keys', ends: 'key-usage', make: () => leafExtensions({ usage: keyUsage(0x20, 5) }) },
  {
    name: 'intermediate that may not sign certificates',
    ends: 'key-usage',
    make: () => intermediateWith({ extensions: { usage: keyUsage(0x82, 1) } }),
  },
  {
    name: 'a client\u2019s certificate shown by a server',
    ends: 'extended-key-usage',
    make: () => leafExtensions({ extended: extendedKeyUsage(OID.clientAuth) }),
  },
  {
    name: 'a server\u2019s certificate shown by a client',
    ends: 'extended-key-usage',
    make: () => leafWith({ extensions: { extended: extendedKeyUsage(OID.serverAuth) } }, { question: { role: 'client' } }),
  },
  {
    name: 'a code signer\u2019s certificate',
    ends: 'extended-key-usage',
    make: () => leafExtensions({ extended: extendedKeyUsage(OID.codeSigning) }),
  },
  {
    name: 'leaf for any usage',
    ends: 'extended-key-usage',
    make: () => leafExtensions({ extended: extendedKeyUsage(OID.anyUsage, OID.serverAuth) }),
  },
  { name: 'leaf without extended key usage', ends: 'extended-key-usage', make: () => leafExtensions({ extended: null }) },
  {
    name: 'intermediate for clients alone, peer a server',
    ends: 'extended-key-usage',
    make: () => intermediateWith({ extensions: { extended: extendedKeyUsage(OID.clientAuth) } }),
  },
  {
    name: 'a CA below one that allows none',
    ends: 'path-length',
    make: () => shown(deep(2, (index) => (index === 0 ? { extensions: { basic: basicConstraints(true, 0) } } : {}))),
  },
  {
    name: 'two CAs below one that allows one',
    ends: 'path-length',
    make: () => shown(deep(3, (index) => (index === 0 ? { extensions: { basic: basicConstraints(true, 1) } } : {}))),
  },
  {
    name: 'another domain\u2019s root speaking for ours',
    ends: 'untrusted',
    make: () => {
      const other = makeRoot()
      return shown([makeLeaf(other, ID)], { anchors: { [DOMAIN]: [family().root], 'other.test': [other] } })
    },
  },
  {
    name: 'signed by itself',
    ends: 'untrusted',
    make: () => {
      const root = makeRoot()
      return shown([makeLeaf({ ...root, subject: name('me') }, ID, { subject: name('me'), key: root.key })])
    },
  },
  { name: 'intermediate left out', ends: 'untrusted', make: () => shown([makeLeaf(family().intermediate, ID)]) },
  {
    name: 'an unknown root sent along',
    ends: 'untrusted',
    make: () => {
      const root = makeRoot()
      return shown([makeLeaf(root, ID), root])
    },
  },
  {
    name: 'a root of the same name and another key',
    ends: 'signature',
    make: () => {
      const imitation = makeRoot({ subject: family().root.subject })
      return shown([makeLeaf(imitation, ID), imitation])
    },
  },
  {
    name: 'a root of the same name, that claims its key',
    ends: 'signature',
    make: () => {
      const { root } = family()
      return shown([makeLeaf({ ...root, key: ecKey() }, ID, { extensions: { aki: issuerIdExtension(root) } })])
    },
  },
  { name: 'a byte of the signature changed', ends: 'signature', make: () => leafWith({ spoil: changedAt(-1) }) },
  { name: 'a name changed after it was signed', ends: 'signature', make: () => leafWith({ spoil: renamed }) },
  {
    name: 'an intermediate\u2019s name changed after it was signed',
    ends: 'signature',
    make: () => intermediateWith({ spoil: changedAt(-1) }),
  },
]
