import { hash } from 'node:crypto'
import { type Certificate, readCertificate } from './certificate.ts'

/** The most that are kept: one for each peer of a large mesh and its intermediates. A usual one takes 3 KB with all that was read of it: 3 MB. */
const MAX_KEPT = 1_000
/** The most bytes of one that is kept: RSA-4096 has 1,700. A CA that writes more must not fill the memory. */
const MAX_BYTES = 2_048

/**
 * Certificates that have led to a trust anchor before, so that they need not be read again and remember by whose key they were signed. What is
 * kept depends on nothing but a certificate's bytes: all that may change (time, trust, revocations, whom is asked for) is judged each time, so
 * nothing here ever has to be forgotten.
 *
 * Only what was believed is kept: strangers can't push it out. Beyond 1,000 the one that was not seen for the longest time goes.
 */
export class BelievedCertificates {
  /** By digest, the one seen last at the end. */
  readonly #kept = new Map<string, Certificate>()

  /** How many are kept. */
  get size(): number {
    return this.#kept.size
  }

  /** One with these very bytes, kept or read anew; its bytes are its own. @throws DerError as `readCertificate` */
  read(der: Uint8Array): Certificate {
    const digest = digestOf(der)
    const kept = this.#kept.get(digest)
    if (kept === undefined) return readCertificate(Uint8Array.from(der))
    this.#kept.delete(digest)
    this.#kept.set(digest, kept)
    return kept
  }

  /** @param path what `read` gave, as far as it was needed */
  keep(path: readonly Certificate[]): void {
    for (const certificate of path) {
      if (certificate.raw.length > MAX_BYTES) continue
      const digest = digestOf(certificate.raw)
      if (!this.#kept.has(digest)) this.#kept.set(digest, certificate)
    }
    for (const digest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_KEPT) return
      this.#kept.delete(digest)
    }
  }
}

const digestOf = (der: Uint8Array): string => hash('sha256', der, 'base64')
