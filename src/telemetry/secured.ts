/** SPIFFE IDs of a service that are listed; as a rule there is one. */
const MAX_IDENTITIES = 100

/** What holds for all of them: false when one is in plaintext, null when nothing is known of any. */
export function securedOf(list: readonly (boolean | null)[]): boolean | null {
  if (list.includes(false)) return false
  return list.includes(true) ? true : null
}

/** Those that are known, sorted, each once; the first hundred. */
export function identitiesOf(list: readonly (string | null)[]): string[] {
  const known = list.filter((identity) => identity !== null)
  return [...new Set(known)].sort().slice(0, MAX_IDENTITIES)
}
