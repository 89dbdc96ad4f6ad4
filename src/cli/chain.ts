import type { TrustBundles } from '../core/identity.ts'
import { printable } from '../core/printable.ts'
import type { Certificate } from '../tls/certificate.ts'
import type { PeerRole } from '../tls/certificate-rules.ts'
import { Verifier } from '../tls/verify.ts'
import { callName, viewOf } from './certificate-view.ts'
import type { Paint } from './command.ts'
import { isoDate } from './duration.ts'

/** The longest drawing: as far as a verifier goes. */
const MAX_DRAWN = 8

/** What this machine's verifier says of a chain. */
export interface Verdict {
  readonly role: PeerRole
  /** Null when no trust anchor of its trust domain is known, so that nobody can tell. */
  readonly believed: boolean | null
  readonly rule: string | null
  readonly message: string | null
}

/** Asks the verifier of the mesh. */
export function verdictOf(chain: readonly Certificate[], trust: TrustBundles, role: PeerRole, now: number): Verdict {
  const verifier = new Verifier(trust, { linkerdNames: true })
  const said = verifier.verify(
    chain.map(({ raw }) => raw),
    { role, now },
  )
  if (!('rule' in said)) return { role, believed: true, rule: null, message: null }
  if (said.rule === 'trust-domain' && Object.keys(trust).length === 0) {
    return { role, believed: null, rule: null, message: 'no trust anchors are known here, give them with --trust <file>' }
  }
  return { role, believed: false, rule: said.rule, message: said.message }
}

/** Draws who has signed whom, the leaf first; an issuer is found by its name, the verdict says whether it really is. */
export function drawChain(sent: readonly Certificate[], anchors: readonly Certificate[], now: number, paint: Paint): string[] {
  const lines: string[] = []
  let last = sent[0]
  while (last !== undefined && lines.length < MAX_DRAWN) {
    const view = viewOf(last, now)
    const isAnchor = anchors.some(({ raw }) => raw.equals((last as Certificate).raw))
    const branch = lines.length === 0 ? '' : `${'   '.repeat(lines.length - 1)}└─ `
    const end = `${paint('dim', `until ${isoDate(last.notAfter)}`)}${isAnchor ? ', trusted here' : ''}`
    lines.push(`  ${branch}${callName(view)}  ${end}`)
    const { issuer, raw } = last
    if (isAnchor || issuer.equals(last.subject)) return lines
    const next = [...anchors, ...sent].find(({ subject, raw: other }) => subject.equals(issuer) && !other.equals(raw))
    if (next === undefined)
      lines.push(
        `  ${'   '.repeat(lines.length - 1)}└─ ${printable(view.issuer)}  ${paint('yellow', 'not sent, and not known here')}`,
      )
    last = next
  }
  return lines
}
