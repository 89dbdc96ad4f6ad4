import type { CertificateRule } from '../core/certificate-rule.ts'

/** Which rule a certificate breaks; the text goes on after the certificate's name. */
export interface Problem {
  readonly rule: CertificateRule
  /** What is wrong, and what to do: `expired 3 days ago: ...`. */
  readonly text: string
}

/** Why a peer is not believed. */
export interface Refusal {
  readonly rule: CertificateRule
  /** Which one: `leaf certificate (serial 1f3a)`. */
  readonly certificate: string
  /** Which certificate, which rule, what to do; for the log, never for the peer. */
  readonly message: string
}

export const problem = (rule: CertificateRule, text: string): Problem => ({ rule, text })

export const refusal = (certificate: string, { rule, text }: Problem): Refusal => ({
  rule,
  certificate,
  message: `${certificate}: ${text}`,
})
