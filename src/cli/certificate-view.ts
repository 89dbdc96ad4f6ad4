import { createHash } from 'node:crypto'
import { printable } from '../core/printable.ts'
import { type Certificate, isSelfIssued, serialOf } from '../tls/certificate.ts'
import { intermediateProblem, issuerProblem, leafProblem, validityProblem } from '../tls/certificate-rules.ts'
import { EXTENDED_KEY_USAGE, KEY_USAGE } from '../tls/extensions.ts'
import type { GeneralName } from '../tls/general-name.ts'
import type { PublicKey } from '../tls/public-key.ts'
import type { Problem } from '../tls/refusal.ts'
import { subjectId } from '../tls/subject-id.ts'
import type { Paint } from './command.ts'
import { shownDate } from './duration.ts'
import { columns } from './help.ts'

/** How far clocks may differ: as a verifier has it by default. */
const SKEW_MS = 60_000

/** A certificate as `--json` shows it. Never anything of a key but its kind. */
export interface CertificateView {
  readonly kind: 'leaf' | 'intermediate' | 'root'
  /** Null when it names none, or in a way that is not taken. */
  readonly spiffeId: string | null
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  readonly names: readonly string[]
  readonly notBefore: string
  readonly notAfter: string
  readonly key: string
  readonly signature: string
  readonly usages: readonly string[]
  /** Of a CA: the trust domain that its name constraints bind it to. */
  readonly boundTo: string | null
  readonly fingerprint: string
  /** Each rule that it breaks by itself, whoever signed it. */
  readonly problems: readonly Problem[]
}

/** Reads a certificate for people. */
export function viewOf(certificate: Certificate, now: number): CertificateView {
  const { extensions, x509 } = certificate
  const id = subjectId(certificate, { linkerdNames: true })
  const isCa = extensions.basicConstraints?.ca === true
  return {
    kind: !isCa ? 'leaf' : isSelfIssued(certificate) ? 'root' : 'intermediate',
    spiffeId: 'id' in id ? id.id : null,
    subject: onOneLine(x509.subject),
    issuer: onOneLine(x509.issuer),
    serial: serialOf(certificate),
    names: (extensions.subjectAltNames ?? []).map(nameText),
    notBefore: new Date(certificate.notBefore).toISOString(),
    notAfter: new Date(certificate.notAfter).toISOString(),
    key: keyText(certificate.publicKey),
    signature: certificate.signatureAlgorithm.name,
    usages: usagesOf(certificate),
    boundTo: extensions.nameConstraints?.permitted?.find(({ form }) => form === 'uri')?.value ?? null,
    fingerprint: createHash('sha256').update(certificate.raw).digest('hex'),
    problems: problemsOf(certificate, now),
  }
}

/** The lines about one certificate. */
export function viewLines(view: CertificateView, now: number, paint: Paint): string[] {
  const usable = view.problems.length === 0
  const rows: (readonly [string, string])[] = [
    ['kind', view.kind],
    ['SPIFFE ID', view.spiffeId ?? (view.boundTo === null ? 'none' : `none; signs for ${view.boundTo} alone`)],
    ['names', view.names.join(', ')],
    ['subject', view.subject],
    ['issuer', view.issuer],
    ['valid from', shownDate(Date.parse(view.notBefore), now)],
    ['valid until', shownDate(Date.parse(view.notAfter), now)],
    ['key', `${view.key}, signed with ${view.signature}`],
    ['usages', view.usages.join(', ')],
    ['serial', view.serial],
    ['SHA-256', view.fingerprint],
  ]
  return [
    ...columns(rows.filter(([, value]) => value !== '').map(([name, value]) => [name, printable(value)])),
    ...view.problems.map(({ rule, text }) => `  ${paint('red', '×')} ${rule}: ${printable(text)}`),
    ...(usable ? [`  ${paint('green', '√')} breaks no rule by itself`] : []),
  ]
}

/** How a certificate is called in a drawing: by its SPIFFE ID, else by its subject. */
export const callName = (view: CertificateView): string => printable(view.spiffeId ?? (view.subject || `serial ${view.serial}`))

/** Each rule that a certificate breaks by itself, asked for both parts that a workload plays; each once. */
function problemsOf(certificate: Certificate, now: number): Problem[] {
  const isCa = certificate.extensions.basicConstraints?.ca === true
  const rules = isCa ? (isSelfIssued(certificate) ? issuerProblem : intermediateProblem) : leafProblem
  const name = isCa ? undefined : subjectId(certificate, { linkerdNames: true })
  const found = [
    rules(certificate, 'server'),
    rules(certificate, 'client'),
    validityProblem(certificate, now, SKEW_MS),
    name !== undefined && 'problem' in name ? { rule: 'name' as const, text: name.problem } : undefined,
  ].filter((problem) => problem !== undefined)
  return found.filter((one, index) => found.findIndex(({ text }) => text === one.text) === index)
}

function usagesOf({ extensions }: Certificate): string[] {
  const { keyUsage = 0, extendedKeyUsage = [] } = extensions
  const bits = Object.entries(KEY_USAGE).filter(([, bit]) => (keyUsage & bit) !== 0)
  const extended = extendedKeyUsage.map(
    (oid) => Object.entries(EXTENDED_KEY_USAGE).find(([, known]) => known === oid)?.[0] ?? oid,
  )
  return [...bits.map(([name]) => name), ...extended.map((name) => `for ${name}`)]
}

function keyText(key: PublicKey): string {
  switch (key.kind) {
    case 'ec':
      return `EC ${key.curve}`
    case 'rsa':
      return `RSA ${key.bits}`
    case 'ed25519':
      return 'Ed25519'
    case 'other':
      return key.algorithm
  }
}

const nameText = ({ form, value }: GeneralName): string => `${form}:${value}`

/** Node gives a part of a name a line. */
const onOneLine = (name: string | undefined): string => (name ?? '').split('\n').join(', ')
