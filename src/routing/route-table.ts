import type { HedgePolicy } from '../core/hedge-policy.ts'
import type { RetryPolicy } from '../core/retry-policy.ts'
import type { Route, RouteTable } from '../core/route.ts'
import type { RouteMatch } from '../core/route-match.ts'
import type { Service } from '../core/service.ts'
import { type Matcher, matcher } from './match.ts'

/** What a route grants. */
export interface RoutePolicy {
  readonly retry: RetryPolicy
  /** Off when undefined. */
  readonly hedge?: HedgePolicy | undefined
  /** In milliseconds; 0 for no limit. */
  readonly timeoutMs: number
  /** In milliseconds; 0 for no limit. */
  readonly perTryTimeoutMs: number
}

/** A named policy and the calls it is for; no match at all means every call. */
export interface RouteRule extends RoutePolicy {
  readonly name: string
  readonly matches: readonly RouteMatch[]
}

/** The routes of a service: its rules in the Gateway API's order of precedence, then `default`. */
export function routeTable(service: Service, fallback: RoutePolicy, rules: readonly RouteRule[] = []): RouteTable {
  const last = { service, name: 'default', ...fallback }
  if (rules.length === 0) return { service, forgotten: false, route: () => last }
  const entries = rules.flatMap((rule) => {
    const { name, retry, hedge, timeoutMs, perTryTimeoutMs } = rule
    const route: Route = { service, name, retry, hedge, timeoutMs, perTryTimeoutMs }
    return (rule.matches.length === 0 ? [{}] : rule.matches).map((match) => ({ matcher: matcher(match), route }))
  })
  entries.sort((a, b) => byPrecedence(a.matcher, b.matcher))
  return {
    service,
    forgotten: false,
    route(call) {
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[i] as (typeof entries)[number]
        if (entry.matcher.matches(call)) return entry.route
      }
      return last
    },
  }
}

/** For sorting, the more specific first. Sorting is stable: of equals, the one that was written first. */
export function byPrecedence(a: Pick<Matcher, 'precedence'>, b: Pick<Matcher, 'precedence'>): number {
  for (let i = 0; i < a.precedence.length; i++) {
    const difference = (b.precedence[i] as number) - (a.precedence[i] as number)
    if (difference !== 0) return difference
  }
  return 0
}
