import type { Inbound, Peer, Refusal } from '../../core/inbound.ts'
import type { AllowedCaller, AuthorizationOptions } from './authorization-options.ts'
import { identitiesTest, ofTrustDomain, ownDomainTest } from './identities.ts'
import { CLUSTER_NETWORKS, networksTest } from './networks.ts'

/** Who may, made ready to be asked many times. */
export class Rule {
  readonly name: string
  /** False is audit: what it refuses is counted, told and served. */
  readonly enforce: boolean
  /** Shared by all that it refuses. */
  readonly refusal: Refusal
  /** Somebody may without showing anything. */
  readonly #isOpen: boolean
  readonly #allow: readonly Allowed[]

  constructor(name: string, allow: readonly Allowed[], mode: 'enforce' | 'audit' = 'enforce') {
    this.name = name
    this.enforce = mode === 'enforce'
    this.refusal = Object.freeze({ reason: 'unauthorized', retryAfterMs: 0, rule: name })
    this.#allow = allow
    this.#isOpen = this.#allow.some(({ identity, address }) => identity === undefined && address === undefined)
  }

  permits(inbound: Inbound): boolean {
    if (this.#isOpen) return true
    if (this.#allow.length === 0) return false
    const { peer } = inbound
    for (let i = 0; i < this.#allow.length; i++) if (isAllowed(this.#allow[i] as Allowed, peer)) return true
    return false
  }
}

/** Who may, as tests; all that there are must hold. */
export interface Allowed {
  readonly identity: ((identity: string) => boolean) | undefined
  readonly address: ((address: string) => boolean) | undefined
}

function isAllowed({ identity, address }: Allowed, peer: Peer): boolean {
  if (identity !== undefined && (peer.identity === undefined || !identity(peer.identity))) return false
  return address === undefined || address(peer.address)
}

/** What a rule allows. */
export function allowedByRule(allow: readonly AllowedCaller[]): readonly Allowed[] {
  return allow.map(({ identities, networks }) => ({
    identity: identities && identitiesTest(identities),
    address: networks && networksTest(networks),
  }))
}

/**
 * What the default policy allows.
 *
 * @param ownDomain this process's own trust domain, once it is known
 */
export function allowedByDefault(options: AuthorizationOptions, ownDomain: () => string | undefined): readonly Allowed[] {
  const { default: policy = 'all-unauthenticated', clusterNetworks = CLUSTER_NETWORKS, trustDomain } = options
  switch (policy) {
    case 'all-unauthenticated':
      return allowedByRule([{}])
    case 'all-authenticated':
      return allowedByRule([{ identities: ['*'] }])
    case 'cluster-authenticated':
      if (trustDomain === undefined) return [{ identity: ownDomainTest(ownDomain), address: undefined }]
      return allowedByRule([{ identities: ofTrustDomain(trustDomain) }])
    case 'cluster-unauthenticated':
      return allowedByRule([{ networks: clusterNetworks.map((cidr) => ({ cidr })) }])
    case 'deny':
    case 'audit':
      return []
  }
}
