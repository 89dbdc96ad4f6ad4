import { MeshError } from '../../core/errors.ts'
import type { Inbound } from '../../core/inbound.ts'
import type { Matched, RouteMatch } from '../../core/route-match.ts'
import { isHealthCheck } from '../priority.ts'
import {
  AMBIGUOUS_RULE,
  type AuthorizationOptions,
  type AuthorizationRule,
  authorizationProblems,
  DEFAULT_RULE,
} from './authorization-options.ts'
import { looseMethod, matchReadings, namesPaths } from './match-readings.ts'
import type { RequestMatcher, RequestMatching } from './request-matching.ts'
import { isPlain, type RequestTarget, requestTarget } from './request-target.ts'
import { allowedByDefault, allowedByRule, Rule } from './rule.ts'

/**
 * Who may ask this process for what. A request is under one rule, the most specific that matches in the Gateway API's order of precedence, then the one with ports;
 * under none, the default decides. Health checks are let pass unless a rule names their path.
 *
 * A path that servers may read in several ways must be allowed in each reading: `/Admin` also as `/admin`, which Express makes of it, `/a%2Fb` also as `/a/b`.
 * Where there is a rule by path, a target of which nobody can say what it means is refused. Paths that differ by case alone should not have different rules.
 *
 * One regular expression, and a test a rule until one matches: nothing is allocated for a plain path.
 */
export class Authorization {
  readonly #strict: readonly Entry[]
  readonly #loose: readonly Entry[]
  readonly #fallback: Rule
  readonly #ambiguous: Rule
  readonly #byPath: boolean
  readonly #byQuery: boolean
  readonly #byPort: boolean
  readonly #alwaysLoose: boolean
  readonly #asked = new Asked()

  /**
   * @param ownDomain this process's own trust domain, once it is known; undefined when it has none
   * @throws MeshError INMESH_CONFIG with all problems at once
   */
  constructor(path: string, options: AuthorizationOptions, matching: RequestMatching | undefined, ownDomain?: OwnDomain) {
    const problems = authorizationProblems(path, options, matching, ownDomain !== undefined)
    if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
    const rules = options.rules ?? []
    const compiled = compileRules(rules, matching)
    this.#strict = compiled.strict
    this.#loose = compiled.loose
    this.#alwaysLoose = compiled.always
    this.#byPath = rules.some(({ matches = [] }) => matches.some(namesPaths))
    this.#byQuery = rules.some(({ matches = [] }) => matches.some((match) => 'queryParams' in match))
    this.#byPort = rules.some(({ ports }) => ports !== undefined)
    const allowed = allowedByDefault(options, ownDomain ?? unknownDomain)
    this.#fallback = new Rule(DEFAULT_RULE, allowed, options.default === 'audit' ? 'audit' : 'enforce')
    const refuses = options.default !== 'audit' && (options.default ?? 'all-unauthenticated') !== 'all-unauthenticated'
    const enforced = refuses || rules.some(({ mode }) => mode !== 'audit')
    this.#ambiguous = new Rule(AMBIGUOUS_RULE, [], enforced ? 'enforce' : 'audit')
  }

  /** @returns the rule that refuses it, or would in audit; undefined when it may pass */
  refusing(inbound: Inbound): Rule | undefined {
    if (this.#strict.length === 0) return this.#verdict(this.#fallback, false, inbound)
    const asked = this.#asked
    asked.ask(inbound, this.#byPort)
    const refusing = this.#read(asked, inbound)
    asked.forget()
    return refusing
  }

  #read(asked: Asked, inbound: Inbound): Rule | undefined {
    // a connection that is gone doesn't tell its port any more, and nobody waits for its answer
    if (this.#byPort && asked.port === undefined) return this.#ambiguous
    // grpc-js knows its methods by their exact path
    if (inbound.protocol === 'grpc') return this.#under(this.#strict, asked, inbound)
    const isLoose = this.#byPath && !isPlain(asked.path)
    const target = isLoose ? requestTarget(asked.path) : undefined
    if (isLoose && target === undefined) return this.#ambiguous
    if (target !== undefined) asked.path = this.#withQuery(target.strict, target)
    else asked.reduce(this.#byPath, this.#byQuery)
    const first = this.#under(this.#strict, asked, inbound)
    if (first?.enforce || (!isLoose && !this.#alwaysLoose && isPlainMethod(asked.method))) return first
    return this.#underLoose(asked, target, inbound) ?? first
  }

  #underLoose(asked: Asked, target: RequestTarget | undefined, inbound: Inbound): Rule | undefined {
    if (target !== undefined) asked.path = this.#withQuery(target.loose, target)
    asked.method = looseMethod(asked.method)
    return this.#under(this.#loose, asked, inbound)
  }

  #withQuery(path: string, { query }: RequestTarget): string {
    return this.#byQuery ? path + query : path
  }

  #under(entries: readonly Entry[], asked: Asked, inbound: Inbound): Rule | undefined {
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as Entry
      if (entry.ports !== undefined && !entry.ports.includes(asked.port as number)) continue
      if (entry.matcher === undefined || entry.matcher.matches(asked)) return this.#verdict(entry.rule, entry.names, inbound)
    }
    return this.#verdict(this.#fallback, false, inbound)
  }

  #verdict(rule: Rule, names: boolean, inbound: Inbound): Rule | undefined {
    return rule.permits(inbound) || (!names && isHealthCheck(inbound.path)) ? undefined : rule
  }
}

type OwnDomain = () => string | undefined

function unknownDomain(): undefined {}

/** What matches are asked about: one for all requests, since nothing is asked at the same time. */
class Asked implements Matched {
  /** Whatever the protocol is: what grpc-js doesn't serve, Connect does, over node:http. */
  readonly protocol = 'grpc'
  method = ''
  path = ''
  port: number | undefined = undefined
  #inbound: Inbound | undefined = undefined

  ask(inbound: Inbound, byPort: boolean): void {
    this.#inbound = inbound
    this.method = inbound.method
    this.path = inbound.path
    if (byPort) this.port = inbound.localPort
  }

  /** To what is asked for: each match would look for the query again, and `*` and `http://host/` are no paths. */
  reduce(byPath: boolean, byQuery: boolean): void {
    const mark = this.path.indexOf('?')
    if (!byPath) this.path = byQuery && mark >= 0 ? `/${this.path.slice(mark)}` : '/'
    else if (!byQuery && mark >= 0) this.path = this.path.slice(0, mark)
  }

  /** Lets go of the request. */
  forget(): void {
    this.#inbound = undefined
    this.path = ''
  }

  header(name: string): string | undefined {
    return this.#inbound?.header(name)
  }
}

/** A match and its rule. */
interface Entry {
  /** Undefined when everything matches, `*` and what is no path too. */
  readonly matcher: RequestMatcher | undefined
  readonly ports: readonly number[] | undefined
  readonly rule: Rule
  /** Whether it says which paths it is for. */
  readonly names: boolean
}

interface Compiled {
  readonly strict: Entry[]
  readonly loose: Entry[]
  readonly always: boolean
}

function compileRules(rules: readonly AuthorizationRule[], matching: RequestMatching | undefined): Compiled {
  const compiled = rules.map((rule) => compileRule(rule, matching))
  const sorted = (entries: Entry[]): Entry[] => entries.sort((a, b) => bySpecificity(a, b, matching))
  return {
    strict: sorted(compiled.flatMap(({ strict }) => strict)),
    loose: sorted(compiled.flatMap(({ loose }) => loose)),
    always: compiled.some(({ always }) => always),
  }
}

function compileRule({ name, ports, matches = [], allow, mode }: AuthorizationRule, matching?: RequestMatching): Compiled {
  const rule = new Rule(name, allowedByRule(allow), mode)
  const whole: Entry = { matcher: undefined, ports, rule, names: false }
  if (matching === undefined || matches.length === 0) return { strict: [whole], loose: [whole], always: false }
  const accepts = (match: RouteMatch): boolean => matching.problems('', match).length === 0
  const readings = matches.map((match) => ({ names: namesPaths(match), ...matchReadings(match, accepts) }))
  const entry = (match: RouteMatch, names: boolean): Entry => ({ matcher: matching.compile(match), ports, rule, names })
  return {
    strict: readings.map(({ strict, names }) => entry(strict, names)),
    loose: readings.flatMap(({ loose, names }) => loose.map((match) => entry(match, names))),
    always: readings.some(({ always }) => always),
  }
}

function bySpecificity(a: Entry, b: Entry, matching: RequestMatching | undefined): number {
  const without = Number(a.matcher === undefined) - Number(b.matcher === undefined)
  if (without !== 0) return without
  const order = a.matcher && b.matcher && matching ? matching.byPrecedence(a.matcher, b.matcher) : 0
  return order || Number(a.ports === undefined) - Number(b.ports === undefined)
}

function isPlainMethod(method: string): boolean {
  return method === 'GET' || method === 'POST' || looseMethod(method) === method
}
