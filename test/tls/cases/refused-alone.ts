import { bitString, integer, octetString, sequence, tagged, text } from '../der-writer.ts'
import {
  algorithm,
  authorityKeyId,
  dns,
  ecKey,
  extension,
  ip,
  keyUsage,
  nameConstraints,
  names,
  OID,
  publicKeyInfo,
  rsaKey,
  sharedKey,
  uri,
} from '../test-certificates.ts'
import {
  type CertificateCase,
  DOMAIN,
  ID,
  intermediateWith,
  leafExtensions,
  leafKey,
  leafNames,
  leafWith,
  NONE,
  rootWith,
  shown,
} from './shown.ts'

/** Certificates that break a rule of what each must be by itself. */
export const REFUSED_ALONE: readonly CertificateCase[] = [
  { name: 'not DER', ends: 'malformed', make: () => ({ ...shown([]), chain: [Buffer.from('hello')] }) },
  { name: 'no bytes', ends: 'malformed', make: () => ({ ...shown([]), chain: [Buffer.alloc(0)] }) },
  { name: 'cut off', ends: 'malformed', make: () => leafWith({ spoil: (der) => der.subarray(0, der.length - 5) }) },
  {
    name: 'bytes behind its end',
    ends: 'malformed',
    make: () => leafWith({ spoil: (der) => Buffer.concat([der, Buffer.from([0])]) }),
  },
  {
    name: 'larger than 64 KiB',
    ends: 'malformed',
    make: () => leafExtensions({ more: extension('1.3.6.1.4.1.99999.1', octetString(Buffer.alloc(70_000))) }),
  },
  {
    name: '10,000 names',
    ends: 'malformed',
    make: () => leafNames(uri(ID), ...Array.from({ length: 10_000 }, (_, i) => dns(`h${i}`))),
  },
  {
    name: '101 names',
    ends: 'malformed',
    make: () => leafNames(uri(ID), ...Array.from({ length: 100 }, (_, i) => dns(`host-${i}.test`))),
  },
  { name: 'a length longer than it needs to be', ends: 'malformed', make: () => leafWith({ serial: Buffer.from([0, 1]) }) },
  { name: 'a version that is none', ends: 'malformed', make: () => leafWith({ version: tagged(0, integer(Buffer.from([3]))) }) },
  { name: 'a date that no calendar has', ends: 'malformed', make: () => leafWith({ notAfter: text(0x17, '300231000000Z') }) },
  { name: 'a date with a time zone', ends: 'malformed', make: () => leafWith({ notAfter: text(0x17, '3003010000+0100') }) },
  { name: 'a date without seconds', ends: 'malformed', make: () => leafWith({ notAfter: text(0x17, '3003010000Z') }) },
  {
    name: 'a date before 2050 in the long form',
    ends: 'malformed',
    make: () => leafWith({ notAfter: text(0x18, '20300301000000Z') }),
  },
  {
    name: 'a place to ask about its issuer that can not be read',
    ends: 'malformed',
    make: () => leafExtensions({ more: extension('1.3.6.1.5.5.7.1.1', Buffer.from('hello')) }),
  },
  { name: 'an IP name of three bytes', ends: 'malformed', make: () => leafNames(uri(ID), ip([10, 0, 0])) },
  { name: 'a DNS name with an empty label', ends: 'malformed', make: () => leafNames(uri(ID), dns('.example.test')) },
  { name: 'a NUL in a DNS name', ends: 'malformed', make: () => leafNames(uri(ID), dns('web\0.evil.test')) },
  { name: 'a name that is not ASCII', ends: 'malformed', make: () => leafNames(uri('spiffe://mesh.test/w\u00e9b')) },
  {
    name: 'a boolean that is neither true nor false',
    ends: 'malformed',
    make: () => leafExtensions({ basic: extension('2.5.29.19', sequence(Buffer.from([1, 1, 1]))) }),
  },
  {
    name: 'an empty list of extensions',
    ends: 'malformed',
    make: () => leafWith({ publicKeyInfo: Buffer.concat([publicKeyInfo(ecKey()), tagged(3, sequence())]), extensions: NONE }),
  },
  {
    name: 'name constraints that say nothing',
    ends: 'malformed',
    make: () => intermediateWith({ extensions: { constraints: nameConstraints([]) } }),
  },
  { name: 'version 1 with extensions', ends: 'version', make: () => leafWith({ version: null }) },
  { name: 'version 2', ends: 'version', make: () => leafWith({ version: tagged(0, integer(Buffer.from([1]))) }) },
  { name: 'serial number 0', ends: 'serial', make: () => leafWith({ serial: Buffer.from([0]) }) },
  { name: 'negative serial number', ends: 'serial', make: () => leafWith({ serial: Buffer.from([0x81, 1]) }) },
  { name: 'serial number of 21 bytes', ends: 'serial', make: () => leafWith({ serial: Buffer.alloc(21, 1) }) },
  {
    name: 'an unknown critical extension',
    ends: 'extensions',
    make: () => leafExtensions({ more: extension('1.3.6.1.4.1.99999.1', octetString(Buffer.from('x')), true) }),
  },
  {
    name: 'an unknown critical extension of the intermediate',
    ends: 'extensions',
    make: () => intermediateWith({ extensions: { more: extension('1.3.6.1.4.1.99999.1', octetString(Buffer.from('x')), true) } }),
  },
  { name: 'an extension that is there twice', ends: 'extensions', make: () => leafExtensions({ again: keyUsage(0x80, 7) }) },
  {
    name: 'names that are there twice',
    ends: 'extensions',
    make: () => leafExtensions({ again: names(uri('spiffe://mesh.test/admin')) }),
  },
  {
    name: 'a critical key identifier',
    ends: 'extensions',
    make: () => leafExtensions({ aki: authorityKeyId(Buffer.alloc(20), true) }),
  },
  {
    name: 'a critical place to ask about its issuer',
    ends: 'extensions',
    make: () => leafExtensions({ more: extension('1.3.6.1.5.5.7.1.1', sequence(), true) }),
  },
  { name: 'no word on which key has signed it', ends: 'extensions', make: () => leafExtensions({ aki: null }) },
  {
    name: 'intermediate without key identifier',
    ends: 'extensions',
    make: () => intermediateWith({ extensions: { ski: null } }),
  },
  {
    name: 'intermediate whose basicConstraints are not critical',
    ends: 'extensions',
    make: () => intermediateWith({ extensions: { basic: extension('2.5.29.19', sequence(Buffer.from([1, 1, 0xff]))) } }),
  },
  {
    name: 'name constraints that are not critical',
    ends: 'extensions',
    make: () => intermediateWith({ extensions: { constraints: nameConstraints([uri(DOMAIN)], [], false) } }),
  },
  {
    name: 'leaf with name constraints',
    ends: 'extensions',
    make: () => leafExtensions({ constraints: nameConstraints([uri(DOMAIN)]) }),
  },
  {
    name: 'policy constraints',
    ends: 'extensions',
    make: () => intermediateWith({ extensions: { more: extension('2.5.29.36', sequence()) } }),
  },
  { name: 'RSA key of 1024 bits', ends: 'weak-key', make: () => leafKey(rsaKey(1024)) },
  {
    name: 'P-192 key',
    ends: 'weak-key',
    make: () => leafWith({ publicKeyInfo: publicKeyInfo(sharedKey('P-192', () => ecKey('prime192v1'))) }),
  },
  { name: 'P-224 key', ends: 'weak-key', make: () => leafKey(ecKey('secp224r1')) },
  { name: 'secp256k1 key', ends: 'weak-key', make: () => leafKey(ecKey('secp256k1')) },
  {
    name: 'a key of another kind',
    ends: 'weak-key',
    make: () => leafWith({ publicKeyInfo: sequence(algorithm('1.3.101.110'), bitString(Buffer.alloc(32, 7))) }),
  },
  {
    name: 'a curve that is spelled out',
    ends: 'weak-key',
    make: () =>
      leafWith({
        publicKeyInfo: sequence(
          algorithm('1.2.840.10045.2.1', sequence(integer(Buffer.from([1])))),
          bitString(Buffer.alloc(65, 4)),
        ),
      }),
  },
  { name: 'root with an RSA key of 1024 bits', ends: 'weak-key', make: () => rootWith({ key: rsaKey(1024) }) },
  {
    name: 'signed by ECDSA with SHA-1',
    ends: 'signature-algorithm',
    make: () => leafWith({ innerAlgorithm: algorithm(OID.ecdsaSha1), hash: 'sha1' }),
  },
  {
    name: 'signed by RSA with MD5',
    ends: 'signature-algorithm',
    make: () => leafWith({ innerAlgorithm: algorithm(OID.rsaMd5, Buffer.from([5, 0])) }),
  },
  {
    name: 'intermediate signed by ECDSA with SHA-1',
    ends: 'signature-algorithm',
    make: () => intermediateWith({ innerAlgorithm: algorithm(OID.ecdsaSha1), hash: 'sha1' }),
  },
  {
    name: 'an unknown signature algorithm',
    ends: 'signature-algorithm',
    make: () => leafWith({ innerAlgorithm: algorithm('1.2.3.4') }),
  },
  {
    name: 'two different signature algorithms',
    ends: 'signature-algorithm',
    make: () => leafWith({ outerAlgorithm: algorithm(OID.ecdsaSha384) }),
  },
  {
    name: 'RSASSA-PSS with its default of SHA-1',
    ends: 'signature-algorithm',
    make: () => leafWith({ innerAlgorithm: algorithm('1.2.840.113549.1.1.10', sequence()) }),
  },
]
