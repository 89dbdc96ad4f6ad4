import { anything, aString, integerFrom, type OptionCheck, optionProblems, shown } from '../../core/options.ts'
import type { RouteMatch } from '../../core/route-match.ts'
import { anIdentityPattern, aTrustDomain } from './identities.ts'
import { pathOfMatch } from './match-readings.ts'
import { cidrProblems, type NetworkOptions, networkProblems } from './networks.ts'
import type { RequestMatching } from './request-matching.ts'

/**
 * What happens to a request that no rule is for, in Linkerd's words: everybody may; whoever has proved an identity; whoever has proved one of our own trust domain;
 * whoever is in the cluster's networks; nobody; or everybody, but it is counted and told as what would have been refused.
 */
export type DefaultPolicy =
  | 'all-unauthenticated'
  | 'all-authenticated'
  | 'cluster-authenticated'
  | 'cluster-unauthenticated'
  | 'deny'
  | 'audit'

/** Who may ask this process for what. */
export interface AuthorizationOptions {
  /** For requests that no rule is for. Default: `all-unauthenticated`. */
  readonly default?: DefaultPolicy
  /** At most 1000. A request is under one of them: the most specific that matches. Default: none. */
  readonly rules?: readonly AuthorizationRule[]
  /** What `cluster-unauthenticated` means. Default: the private networks of RFC 1918, 4193 and 6598, and the loopback. */
  readonly clusterNetworks?: readonly string[]
  /** What `cluster-authenticated` means: `cluster.local`. Default: the trust domain of this process's own identity; until that is there, nobody is of it. */
  readonly trustDomain?: string
}

/** Who may ask for one kind of request. */
export interface AuthorizationRule {
  /** As metrics and logs name it. */
  readonly name: string
  /** The ports of this process that it is for. Default: all. */
  readonly ports?: readonly number[]
  /**
   * Any of them, as in routes; every request when left out. Headers and queries are the caller's to choose: a rule that refuses by them is easily evaded. A match of gRPC
   * is for its path, also where others than grpc-js serve it.
   */
  readonly matches?: readonly RouteMatch[]
  /** Any of them suffices; nobody when empty. */
  readonly allow: readonly AllowedCaller[]
  /** `audit` lets pass what it would refuse, counts and tells it. Default: `enforce`. */
  readonly mode?: 'enforce' | 'audit'
}

/** All that is given must hold: `{}` is everybody. */
export interface AllowedCaller {
  /** SPIFFE IDs, `spiffe://td/ns/prod/*`, DNS names, `*.prod.serviceaccount.identity.linkerd.cluster.local`, or `*` for any that is proven. */
  readonly identities?: readonly string[]
  /** Of the connection's other end. `X-Forwarded-For` is not looked at, also if it comes from a trusted proxy. */
  readonly networks?: readonly NetworkOptions[]
}

/** What is not decided by a rule, in the same place where rules are named. */
export const DEFAULT_RULE = 'default'
/** Which rule is for a request can't be said. */
export const AMBIGUOUS_RULE = 'ambiguous'

/**
 * What is wrong with the options: a line each; empty when all is well.
 *
 * @param hasDomain whether this process will have a trust domain of its own
 */
export function authorizationProblems(
  path: string,
  options: unknown,
  matching: RequestMatching | undefined,
  hasDomain = false,
): string[] {
  const problems = optionProblems(path, options, CHECKS)
  if (!isObject(options)) return problems
  const { clusterNetworks, rules } = options
  if (options.default === 'cluster-authenticated' && options.trustDomain === undefined && !hasDomain)
    problems.push(`${path}.trustDomain: missing, as the default is cluster-authenticated and this process has no identity`)
  if (clusterNetworks !== undefined) problems.push(...cidrProblems(`${path}.clusterNetworks`, clusterNetworks))
  if (rules === undefined) return problems
  if (Array.isArray(rules) && rules.length > MAX_RULES)
    return [...problems, `${path}.rules: expected at most ${MAX_RULES}, got ${rules.length}`]
  const names = new Set<unknown>()
  const one = (at: string, rule: Record<string, unknown>): string[] => {
    const found = ruleProblems(at, rule, matching)
    if (typeof rule.name === 'string' && names.has(rule.name))
      found.push(`${at}.name: expected each name once, got ${shown(rule.name)} again`)
    names.add(rule.name)
    return found
  }
  return [...problems, ...eachOf(`${path}.rules`, rules, one)]
}

/** So many are looked through one by one in some 20 us. */
const MAX_RULES = 1_000

function ruleProblems(path: string, rule: Record<string, unknown>, matching: RequestMatching | undefined): string[] {
  const problems = optionProblems(path, rule, RULE_CHECKS)
  for (const key of ['name', 'allow']) if (rule[key] === undefined) problems.push(`${path}.${key}: missing`)
  if (rule.ports !== undefined) problems.push(...listProblems(`${path}.ports`, rule.ports, integerFrom(1, 65_535)))
  if (rule.allow !== undefined) problems.push(...eachOf(`${path}.allow`, rule.allow, allowedProblems))
  if (rule.matches === undefined) return problems
  if (matching === undefined) return [...problems, `${path}.matches: expected none, as this reception has no routing`]
  return [...problems, ...eachOf(`${path}.matches`, rule.matches, (at, match) => matchProblems(at, match, matching))]
}

/** Besides what makes it no match at all: a path that no request can have would never be refused. */
function matchProblems(path: string, match: Record<string, unknown>, matching: RequestMatching): string[] {
  const problems = matching.problems(path, match)
  if (problems.length > 0 || !isObject(match.path) || match.path.type === 'RegularExpression') return problems
  const { value } = match.path
  if (pathOfMatch(value as string) !== undefined) return []
  return [`${path}.path.value: expected a path without query, dot segments, backslashes and // at its start, got ${shown(value)}`]
}

function allowedProblems(path: string, allowed: Record<string, unknown>): string[] {
  const problems = optionProblems(path, allowed, { identities: anything, networks: anything })
  const { identities, networks } = allowed
  if (identities !== undefined) problems.push(...listProblems(`${path}.identities`, identities, anIdentityPattern))
  if (networks === undefined) return problems
  problems.push(...eachOf(`${path}.networks`, networks, networkProblems))
  if (Array.isArray(networks) && networks.length === 0) problems.push(`${path}.networks: expected at least one, got none`)
  return problems
}

function listProblems(path: string, list: unknown, check: OptionCheck): string[] {
  if (!Array.isArray(list)) return [`${path}: expected a list, got ${shown(list)}`]
  if (list.length === 0) return [`${path}: expected at least one, got none`]
  return Array.from(list, (value, i) => {
    const expected = check(value)
    return expected === undefined ? [] : [`${path}[${i}]: expected ${expected}, got ${shown(value)}`]
  }).flat()
}

function eachOf(path: string, list: unknown, problems: (path: string, value: Record<string, unknown>) => string[]): string[] {
  if (!Array.isArray(list)) return [`${path}: expected a list, got ${shown(list)}`]
  return Array.from(list, (value, i) => {
    const at = `${path}[${i}]`
    return isObject(value) ? problems(at, value) : [`${at}: expected an object, got ${shown(value)}`]
  }).flat()
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const RESERVED: readonly unknown[] = [DEFAULT_RULE, AMBIGUOUS_RULE, 'other']
const aRuleName: OptionCheck = (v) =>
  aString(v) === undefined && (v as string).length <= 100 && !RESERVED.includes(v)
    ? undefined
    : `a name of at most 100 characters other than ${RESERVED.join(', ')}`

function oneOf(...values: string[]): OptionCheck {
  return (v) => (values.includes(v as string) ? undefined : values.join(' or '))
}

const CHECKS: Readonly<Record<keyof AuthorizationOptions, OptionCheck>> = {
  default: oneOf('all-unauthenticated', 'all-authenticated', 'cluster-authenticated', 'cluster-unauthenticated', 'deny', 'audit'),
  rules: anything,
  clusterNetworks: anything,
  trustDomain: aTrustDomain,
}

const RULE_CHECKS: Readonly<Record<keyof AuthorizationRule, OptionCheck>> = {
  name: aRuleName,
  ports: anything,
  matches: anything,
  allow: anything,
  mode: oneOf('enforce', 'audit'),
}
