import type { Inbound, Peer, Refusal } from '../../core/inbound.ts'
import type { AllowedCaller, AuthorizationOptions } from './authorization-options.ts'
import { identitiesTest, ofTrustDomain } from './identities.ts'
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

  constructor(name: string, allow: readonly AllowedCaller[], mode: 'enforce' | 'audit' = 'enforce') {
    this.name = name
    this.enforce = mode === 'enforce'
    this.refusal = Object.freeze({ reason: 'unauthorized', retryAfterMs: 0, rule: name })
    this.#allow = allow.map(({ identities, networks }) => ({
      identity: identities && identitiesTest(identities),
      address: networks && networksTest(networks),
    }))
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

interface Allowed {
  readonly identity: ((identity: string) => boolean) | undefined
  readonly address: ((address: string) => boolean) | undefined
}

function isAllowed({ identity, address }: Allowed, peer: Peer): boolean {
  if (identity !== undefined && (peer.identity === undefined || !identity(peer.identity))) return false
  return address === undefined || address(peer.address)
}

/** What the default policy allows. */
export function allowedByDefault(options: AuthorizationOptions): readonly AllowedCaller[] {
  const { default: policy = 'all-unauthenticated', clusterNetworks = CLUSTER_NETWORKS, trustDomain = '' } = options
  switch (policy) {
    case 'all-unauthenticated':
      return [{}]
    case 'all-authenticated':
      return [{ identities: ['*'] }]
    case 'cluster-authenticated':
      return [{ identities: ofTrustDomain(trustDomain) }]
    case 'cluster-unauthenticated':
      return [{ networks: clusterNetworks.map((cidr) => ({ cidr })) }]
    case 'deny':
    case 'audit':
      return []
  }
}
