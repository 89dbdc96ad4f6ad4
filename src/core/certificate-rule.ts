/** The closed list of the rules that a peer's certificates are held to; bounded, so that it can label a metric. */
export type CertificateRule =
  /** No certificate at all, too many, or more work than is done for a stranger. */
  | 'chain'
  /** Bytes that are no certificate. */
  | 'malformed'
  | 'version'
  | 'serial'
  /** Unknown critical ones, ones that are there twice, ones that are critical and may not be, or the other way round. */
  | 'extensions'
  | 'weak-key'
  | 'signature-algorithm'
  | 'validity'
  /** A leaf that could sign, or an issuer that may not. */
  | 'ca'
  | 'key-usage'
  | 'extended-key-usage'
  | 'path-length'
  | 'name-constraints'
  /** Subject and names. */
  | 'name'
  | 'trust-domain'
  /** Nobody whom this process believes has signed it. */
  | 'untrusted'
  | 'signature'
  | 'revoked'
  /** There is a revocation list for it, and it can't be used. */
  | 'revocation-list'
  /** Believed, and not one of those that were asked for. */
  | 'not-allowed'
