import type { Identity } from '../../src/core/identity.ts'
import { time } from '../tls/der-writer.ts'
import { dns, extension, HOUR, names, uri } from '../tls/test-certificates.ts'
import { aRoot, identityOf, ROOT } from './meshed.ts'

/** An identity that nobody should believe, and how whoever sees it says so. */
export interface BadIdentity {
  readonly name: string
  /** The rule that it breaks, as metrics have it. */
  readonly rule: string
  /** Which certificate, which rule, what to do. */
  readonly message: RegExp
  make(id: string): Identity
}

/** A source of an application's own is believed to know until when. */
const claimed = (identity: Identity): Identity => ({ ...identity, notAfter: Date.now() + 24 * HOUR })
const LEAF = 'leaf certificate \\(serial \\w+\\)'
const named = (id: string, count: number) => names(uri(id), ...Array.from({ length: count }, (_, i) => dns(`h${i}.test`)))

export const BAD_IDENTITIES: readonly BadIdentity[] = [
  {
    name: 'that has expired',
    rule: 'validity',
    message: new RegExp(`${LEAF}: expired at \\S+Z and it is \\S+Z: renew it, or compare the clocks`),
    make: (id) => claimed(identityOf(id, { lifeMs: -HOUR / 2 })),
  },
  {
    name: 'that is not valid yet',
    rule: 'validity',
    message: new RegExp(`${LEAF}: is not valid before \\S+Z and it is \\S+Z: compare the clocks, or wait`),
    make: (id) => identityOf(id, { recipe: { notBefore: time(Date.now() + HOUR) } }),
  },
  {
    name: 'of a trust domain that is not trusted',
    rule: 'trust-domain',
    message: /its trust domain other\.example is not trusted here \(cluster\.local is\): add that domain's trust bundle/,
    make: (id) => identityOf(id.replace('cluster.local', 'other.example')),
  },
  {
    name: 'that is signed by itself',
    rule: 'untrusted',
    message: new RegExp(`${LEAF}: is signed by itself and is none of .*: send the whole chain, or add its root`),
    make: (id) => identityOf(id, { recipe: { issuer: undefined } as object }),
  },
  {
    name: 'of a root that is not trusted',
    rule: 'untrusted',
    message: new RegExp(`${LEAF}: its issuer is neither .*: send the whole chain, or add its root to the trust bundle`),
    make: (id) => identityOf(id, { root: aRoot(), trust: [ROOT] }),
  },
  {
    name: 'with a thousand names',
    rule: 'malformed',
    message: /leaf certificate: can't be read: more than 100 names, and a workload needs one: issue it anew/,
    make: (id) => identityOf(id, { recipe: { extensions: { names: named(id, 1_000) } } }),
  },
  {
    name: 'with ten thousand names',
    rule: 'malformed',
    message:
      /certificates? of more than 100 KB: issue its leaf anew|leaf certificate: can't be read: \d+ bytes, at most 65536 are read/,
    make: (id) => identityOf(id, { recipe: { extensions: { names: named(id, 10_000) } } }),
  },
  {
    name: 'of a megabyte',
    rule: 'malformed',
    message:
      /shows certificates of more than 100 KB: issue its leaf anew with its SPIFFE ID as only name, and send the chain alone/,
    make: (id) => identityOf(id, { recipe: { extensions: { large: extension('1.2.3.4', Buffer.alloc(1_000_000)) } } }),
  },
]
