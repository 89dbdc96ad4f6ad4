import type { OptionCheck } from '../../core/options.ts'

/**
 * Whether an identity is one of those that are named: exactly (`spiffe://td/ns/prod/sa/web`, `web.prod.serviceaccount.identity.linkerd.cluster.local`), by whole
 * leading segments (`spiffe://td/ns/prod/*`), by whole trailing labels (`*.prod.serviceaccount.identity.linkerd.cluster.local`), or any at all (`*`).
 */
export function identitiesTest(patterns: readonly string[]): (identity: string) => boolean {
  if (patterns.includes('*')) return () => true
  const exact = new Set(patterns)
  const starts = patterns.filter((pattern) => pattern.endsWith('/*')).map((pattern) => pattern.slice(0, -1))
  const ends = patterns.filter((pattern) => pattern.startsWith('*.')).map((pattern) => pattern.slice(1))
  return (identity) => {
    if (exact.has(identity)) return true
    for (let i = 0; i < starts.length; i++) {
      const start = starts[i] as string
      if (identity.length > start.length && identity.startsWith(start)) return true
    }
    // the path of a SPIFFE ID may end as a DNS name does
    if (ends.length === 0 || identity.includes('/')) return false
    for (let i = 0; i < ends.length; i++) {
      const end = ends[i] as string
      if (identity.length > end.length && identity.endsWith(end)) return true
    }
    return false
  }
}

/** Those of one trust domain: SPIFFE IDs in it, and Linkerd's names, which end with it. */
export function ofTrustDomain(domain: string): string[] {
  return [`spiffe://${domain}/*`, `*.${domain}`]
}

/**
 * Whether an identity is one of this process's own trust domain, which may be known late, and change: until it is known, none is.
 *
 * @param own the trust domain, asked for each time
 */
export function ownDomainTest(own: () => string | undefined): (identity: string) => boolean {
  let domain: string | undefined
  let isOfDomain = identitiesTest([])
  return (identity) => {
    const now = own()
    if (now === undefined) return false
    if (now !== domain) {
      domain = now
      isOfDomain = identitiesTest(ofTrustDomain(now))
    }
    return isOfDomain(identity)
  }
}

/** The SPIFFE standard's characters (SPIFFE-ID, section 2), in which an identity and a pattern can't be confused. */
export const anIdentityPattern: OptionCheck = (v) =>
  typeof v === 'string' && v.length <= MAX_LENGTH && (v === '*' || SPIFFE.test(v) || DNS.test(v))
    ? undefined
    : 'a SPIFFE ID, one that ends in /*, a DNS name, one that begins with *. or "*"'

export const aTrustDomain: OptionCheck = (v) =>
  typeof v === 'string' && v.length <= 255 && /^[a-z0-9._-]+$/.test(v) ? undefined : 'a trust domain such as cluster.local'

/** The standard's bound for a SPIFFE ID, in bytes. */
const MAX_LENGTH = 2_048
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[a-zA-Z0-9._-]+)*(?:\/\*)?$/
const DNS = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/
