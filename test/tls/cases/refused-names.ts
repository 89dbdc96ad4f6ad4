import { name } from '../der-writer.ts'
import { dns, email, ip, makeIntermediate, makeLeaf, nameConstraints, names, uri } from '../test-certificates.ts'
import {
  type CertificateCase,
  constrained,
  DOMAIN,
  family,
  ID,
  leafExtensions,
  leafNames,
  leafWith,
  linkerd,
  rootWith,
  type Shown,
  shown,
} from './shown.ts'

/** Names that may not be, or not be vouched for. */
export const REFUSED_NAMES: readonly CertificateCase[] = [
  { name: 'Linkerd name of a trust domain that is not permitted', ends: 'name-constraints', make: linkerdConstrained },
  {
    name: 'trust domain outside of the permitted',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([uri('other.test')])),
  },
  { name: 'trust domain excluded', ends: 'name-constraints', make: () => constrained(nameConstraints([], [uri(DOMAIN)])) },
  {
    name: 'trust domain below one that is permitted alone',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([uri('test')])),
  },
  {
    name: 'DNS name outside of the permitted',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([dns('mesh.test')]), dns('web.evilmesh.test')),
  },
  {
    name: 'DNS name excluded in other case',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([], [dns('Admin.test')]), dns('x.aDMIN.test')),
  },
  {
    name: 'wildcard that takes in what is excluded',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([], [dns('admin.mesh.test')]), dns('*.mesh.test')),
  },
  {
    name: 'IP address outside of the permitted',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([ip([10, 0, 0, 0, 255, 0, 0, 0])]), ip([11, 1, 2, 3])),
  },
  {
    name: 'IP address excluded',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([], [ip([10, 0, 0, 0, 255, 0, 0, 0])]), ip([10, 1, 2, 3])),
  },
  {
    name: 'constraints on a form of names that is not known',
    ends: 'name-constraints',
    make: () => constrained(nameConstraints([], [email('evil.test')])),
  },
  {
    name: 'a root\u2019s constraints',
    ends: 'name-constraints',
    make: () => rootWith({ extensions: { constraints: nameConstraints([uri('other.test')]) } }),
  },
  {
    name: 'no URI name, the common name is a SPIFFE ID',
    ends: 'name',
    make: () => leafWith({ subject: name(ID), extensions: { names: names(dns('web.test')) } }),
  },
  { name: 'no names at all', ends: 'name', make: () => leafWith({ subject: name(ID), extensions: { names: null } }) },
  { name: 'an empty list of names', ends: 'name', make: () => leafExtensions({ names: names() }) },
  { name: 'two SPIFFE IDs', ends: 'name', make: () => leafNames(uri(ID), uri('spiffe://mesh.test/ns/default/sa/admin')) },
  { name: 'a SPIFFE ID and another URI', ends: 'name', make: () => leafNames(uri(ID), uri('https://mesh.test/')) },
  { name: 'a URI that is no SPIFFE ID', ends: 'name', make: () => leafNames(uri('https://mesh.test/ns/default/sa/web')) },
  { name: 'a SPIFFE ID without path', ends: 'name', make: () => leafNames(uri('spiffe://mesh.test')) },
  { name: 'a SPIFFE ID with a port', ends: 'name', make: () => leafNames(uri('spiffe://mesh.test:80/web')) },
  { name: 'a SPIFFE ID with dots for a way up', ends: 'name', make: () => leafNames(uri('spiffe://mesh.test/ns/../admin')) },
  { name: 'a SPIFFE ID with percent signs', ends: 'name', make: () => leafNames(uri('spiffe://mesh.test/%61dmin')) },
  { name: 'a trust domain in upper case', ends: 'name', make: () => leafNames(uri('spiffe://MESH.test/web')) },
  { name: 'no subject, and names that are not critical', ends: 'name', make: () => leafWith({ subject: name('') }) },
  { name: 'issuer without subject', ends: 'name', make: () => rootWith({ subject: name('') }) },
  { name: 'Linkerd name, not asked for', ends: 'name', make: () => linkerd({}) },
  {
    name: 'two Linkerd names',
    ends: 'name',
    make: () => linkerd({ linkerdNames: true }, dns('b.default.serviceaccount.identity.linkerd.mesh.test')),
  },
  { name: 'a trust domain that nobody trusts', ends: 'trust-domain', make: () => leafNames(uri('spiffe://other.test/web')) },
  {
    name: 'another identity than was asked for',
    ends: 'not-allowed',
    make: () => leafWith({}, { question: { ids: ['spiffe://mesh.test/ns/default/sa/voting'] } }),
  },
  {
    name: 'of another trust domain than was asked for',
    ends: 'not-allowed',
    make: () => leafWith({}, { question: { trustDomains: ['other.test'] } }),
  },
  { name: 'nobody is allowed', ends: 'not-allowed', make: () => leafWith({}, { question: { ids: [] } }) },
]

function linkerdConstrained(): Shown {
  const intermediate = makeIntermediate(family().root, { extensions: { constraints: nameConstraints([uri('other.test')]) } })
  const linkerdNames = names(dns('web.default.serviceaccount.identity.linkerd.mesh.test'))
  const leaf = makeLeaf(intermediate, ID, { extensions: { names: linkerdNames } })
  return shown([leaf, intermediate], { options: { linkerdNames: true } })
}
