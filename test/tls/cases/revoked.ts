import { readRevocations } from '../../../src/tls/crl.ts'
import { Revocations } from '../../../src/tls/revocations.ts'
import { time } from '../der-writer.ts'
import { algorithm, HOUR, keyUsage, type Made, makeIntermediate, makeLeaf, makeRoot, NOW, OID } from '../test-certificates.ts'
import { type ListRecipe, makeList } from '../test-revocation-list.ts'
import { type CertificateCase, family, ID, type Shown, shown } from './shown.ts'

/** What lists of revoked certificates and the deny-list do. */
export const REVOKED: readonly CertificateCase[] = [
  { name: 'a list that does not name it', ends: 'believed', make: () => listed((issuer) => ({ issuer })) },
  { name: 'a list that names it', ends: 'revoked', make: () => listed((issuer, leaf) => ({ issuer, revoked: [leaf] })) },
  {
    name: 'a list of the root that names the intermediate',
    ends: 'revoked',
    make: () => listed((issuer) => ({ issuer: family().root, revoked: [issuer] })),
  },
  {
    name: 'another issuer\u2019s list that names its serial number',
    ends: 'believed',
    make: () => listed((_, leaf) => ({ issuer: makeRoot(), revoked: [leaf] })),
  },
  {
    name: 'a list of another key of the same name',
    ends: 'believed',
    make: () => listed((issuer, leaf) => ({ issuer: makeRoot({ subject: issuer.subject }), revoked: [leaf] })),
  },
  {
    name: 'a list that somebody else has signed',
    ends: 'revocation-list',
    make: () => listed((issuer) => ({ issuer, signer: makeRoot() })),
  },
  {
    name: 'a list signed by SHA-1',
    ends: 'revocation-list',
    make: () => listed((issuer) => ({ issuer, algorithm: algorithm(OID.ecdsaSha1) })),
  },
  {
    name: 'a list that is out of date',
    ends: 'revocation-list',
    make: () => listed((issuer) => ({ issuer, nextUpdate: time(NOW - HOUR / 2) })),
  },
  {
    name: 'a list that is out of date and names it',
    ends: 'revoked',
    make: () => listed((issuer, leaf) => ({ issuer, revoked: [leaf], nextUpdate: time(NOW - HOUR / 2) })),
  },
  {
    name: 'a list of tomorrow',
    ends: 'revocation-list',
    make: () => listed((issuer) => ({ issuer, thisUpdate: time(NOW + HOUR) })),
  },
  { name: 'a list that never ends', ends: 'believed', make: () => listed((issuer) => ({ issuer, nextUpdate: null })) },
  { name: 'a list of an issuer that may not sign lists', ends: 'revocation-list', make: listOfOneWhoMayNot },
  { name: 'an identity on the deny-list', ends: 'revoked', make: () => denied(ID) },
  { name: 'another identity on the deny-list', ends: 'believed', make: () => denied(`${ID}2`) },
]

/** @param list what the list says, by intermediate and leaf */
function listed(list: (intermediate: Made, leaf: Made) => ListRecipe, intermediate = family().intermediate): Shown {
  const leaf = makeLeaf(intermediate, ID)
  const lists = readRevocations(makeList(list(intermediate, leaf)), 'crl')
  return shown([leaf, intermediate], { options: { revocations: new Revocations({ lists }) } })
}

function listOfOneWhoMayNot(): Shown {
  return listed((issuer) => ({ issuer }), makeIntermediate(family().root, { extensions: { usage: keyUsage(0x04, 2) } }))
}

function denied(id: string): Shown {
  const { intermediate } = family()
  return shown([makeLeaf(intermediate, ID), intermediate], { options: { revocations: new Revocations({ ids: [id] }) } })
}
