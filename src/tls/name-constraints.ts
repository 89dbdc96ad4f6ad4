import type { Certificate } from './certificate.ts'
import type { GeneralName } from './general-name.ts'
import { type Problem, problem } from './refusal.ts'

/**
 * Whether a CA may vouch for these names (RFC 5280, 4.2.1.10). Constraints on other forms than URI, DNS and IP are not understood and so
 * refuse everything, since their author relies on them.
 */
export function constraintsProblem(issuer: Certificate, names: readonly GeneralName[]): Problem | undefined {
  const constraints = issuer.extensions.nameConstraints
  if (constraints === undefined) return undefined
  const { permitted = [], excluded } = constraints
  if ([...permitted, ...excluded].some(({ form }) => form === 'other')) {
    return problem('name-constraints', 'its issuer constrains names other than URI, DNS and IP, which is not understood here')
  }
  for (const name of names) {
    const asked = permitted.filter(({ form }) => form === name.form)
    if (asked.length > 0 && !asked.some((constraint) => isWithin(name, constraint))) return notPermitted(name, 'does not permit')
    if (excluded.some((constraint) => constraint.form === name.form && (isWithin(name, constraint) || covers(name, constraint))))
      return notPermitted(name, 'excludes')
    // Nothing can be said of what has no host.
    if (!isComparable(name) && [...permitted, ...excluded].some(({ form }) => form === name.form))
      return notPermitted(name, 'can not judge')
  }
  return undefined
}

function notPermitted(name: GeneralName, verb: string): Problem {
  return problem(
    'name-constraints',
    `its issuer ${verb} the name ${JSON.stringify(name.value.slice(0, 200))} by its name constraints`,
  )
}

/** Whether a name lies in the subtree of a constraint of the same form. */
function isWithin(name: GeneralName, constraint: GeneralName): boolean {
  switch (name.form) {
    case 'dns':
      return isHostWithin(name.value.replace(/^\*\./, ''), constraint.value, true)
    case 'uri':
      return isHostWithin(hostOf(name.value) ?? '', constraint.value, false)
    case 'ip':
      return isAddressWithin(name.value, constraint.value)
    case 'other':
      return false
  }
}

/** A URI without host: no constraint says anything about it. */
function isComparable({ form, value }: GeneralName): boolean {
  return form !== 'uri' || hostOf(value) !== undefined
}

/** Whether a wildcard takes in what is excluded. */
function covers({ form, value }: GeneralName, constraint: GeneralName): boolean {
  return form === 'dns' && value.startsWith('*.') && isHostWithin(constraint.value, value.slice(2), true)
}

/**
 * A constraint on DNS names holds for a name and all below it; one on the host of a URI for that host alone, or for all below it if it
 * begins with a dot.
 */
function isHostWithin(host: string, constraint: string, below: boolean): boolean {
  const [name, suffix] = [host.toLowerCase(), constraint.toLowerCase()]
  if (suffix === '') return true
  if (suffix.startsWith('.')) return name.endsWith(suffix) && name.length > suffix.length
  return name === suffix || (below && name.endsWith(`.${suffix}`))
}

function hostOf(uri: string): string | undefined {
  return /^[a-z][a-z0-9+.-]*:\/\/([A-Za-z0-9._-]+)(?:[/?#]|$)/i.exec(uri)?.[1]
}

/** Both in hex, the constraint as address and mask. */
function isAddressWithin(address: string, constraint: string): boolean {
  if (constraint.length !== 2 * address.length) return false
  const [bytes, range] = [Buffer.from(address, 'hex'), Buffer.from(constraint, 'hex')]
  return bytes.every((byte, i) => {
    const mask = range[bytes.length + i] as number
    return (byte & mask) === ((range[i] as number) & mask)
  })
}
