import { Authorization } from '../../../src/server/authorization/authorization.ts'
import type { AuthorizationOptions } from '../../../src/server/authorization/authorization-options.ts'
import { VirtualClock } from '../../support/virtual-time.ts'
import { matching } from './matching.ts'
import { type PlainFacts, PlainInbound } from './plain-inbound.ts'

const clock = new VirtualClock()

/** A policy, as a function that names the rule that refuses a request, or would have. */
export function policy(options: AuthorizationOptions): (facts?: PlainFacts) => string | undefined {
  const authorization = new Authorization('inbound.authorization', options, matching)
  return (facts = {}) => {
    const rule = authorization.refusing(new PlainInbound(clock, facts))
    return rule && (rule.enforce ? rule.name : `${rule.name} in audit`)
  }
}
