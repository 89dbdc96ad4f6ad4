import type { Identity, IdentitySourceFactory, IdentityUpdate } from '../../src/core/identity.ts'
import { HOUR, type Made, makeLeaf, makeRoot, NOW, type Recipe } from './test-certificates.ts'

/** An identity of a trust domain, believed by whoever trusts the root. */
export function makeIdentity(root: Made, path: string, changes: TrialChanges = {}): Identity {
  const { trust = [root], notAfter = NOW + 24 * HOUR, recipe, domain = 'cluster.local' } = changes
  const id = `spiffe://${domain}${path}`
  const leaf = makeLeaf(root, id, recipe)
  return {
    id,
    certificates: leaf.pem,
    key: leaf.keyPem,
    trust: { [domain]: trust.map(({ pem }) => pem) },
    notBefore: NOW - HOUR,
    notAfter,
  }
}

export interface TrialChanges {
  readonly trust?: readonly Made[]
  readonly notAfter?: number
  readonly recipe?: Partial<Recipe>
  readonly domain?: string
}

/** The root of a trial's domain. */
export const trialRoot = (): Made => makeRoot()

/** A source that tells what a test tells it, at once. */
export class TrialSource {
  watched = 0
  #tell: ((update: IdentityUpdate) => void) | undefined
  readonly #first: Identity | undefined

  /** @param first is told as soon as somebody watches */
  constructor(first?: Identity) {
    this.#first = first
  }

  readonly factory: IdentitySourceFactory = () => ({
    watch: (onUpdate) => {
      this.watched++
      this.#tell = onUpdate
      if (this.#first !== undefined) queueMicrotask(() => this.#first && this.#tell?.({ identity: this.#first }))
      return () => {
        this.#tell = undefined
        this.watched--
      }
    },
  })

  identity(identity: Identity): void {
    this.#tell?.({ identity })
  }

  error(message: string): void {
    this.#tell?.({ error: new Error(message) })
  }
}
