import type { Runtime } from './clock.ts'

/**
 * Who this process is and whom it believes. Never changed: a rotation is a new one.
 */
export interface Identity {
  /** The SPIFFE ID that the leaf certificate names: `spiffe://<trust domain>/...`. */
  readonly id: string
  /** The leaf certificate, then its intermediates, in PEM; the trust anchor is not among them. */
  readonly certificates: string
  /** The leaf's private key, PKCS#8 in PEM. Never shown or logged. */
  readonly key: string
  /** Whom this process believes: the trust anchors in PEM by trust domain. Its own domain is always among them. */
  readonly trust: TrustBundles
  /** When it begins and ceases to be valid, in milliseconds since 1970: the time of the leaf, or of an intermediate if that is shorter. */
  readonly notBefore: number
  readonly notAfter: number
}

/** Has `console.log` and whatever else inspects show all of an identity but its key. @returns the same object */
export function discreet(identity: Identity): Identity {
  const value = () => ({ ...identity, key: '(not shown)' })
  return Object.defineProperty(identity, Symbol.for('nodejs.util.inspect.custom'), { value })
}

/** Trust anchors in PEM by trust domain; several while one takes over from another. */
export type TrustBundles = Readonly<Record<string, readonly string[]>>

/** What a source tells: an identity, or why there is no newer one; the last one stays in use as long as it is valid. */
export type IdentityUpdate = { readonly identity: Identity } | { readonly error: Error }

/**
 * Where this process's identity comes from. Renews it in time, for as long as somebody watches.
 */
export interface IdentitySource {
  /**
   * @param onUpdate is called with every identity, and when one can't be had; never before `watch` has returned
   * @returns a function that stops; idempotent
   */
  watch(onUpdate: (update: IdentityUpdate) => void): () => void
}

export type IdentitySourceFactory = (runtime: Runtime) => IdentitySource
