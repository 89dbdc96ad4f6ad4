import { channel } from 'node:diagnostics_channel'
import type { Clock } from '../../core/clock.ts'
import type { Inbound } from '../../core/inbound.ts'
import { shown } from '../../core/options.ts'
import { RareWarnings } from '../../core/rare-warnings.ts'
import type { Rule } from './rule.ts'

/** What `diagnostics_channel.subscribe('inmesh:authorization', ...)` is told of each request that a rule refuses, or would in audit. */
export interface Denial {
  /** Its name; `default` when none is for the request, `ambiguous` when which one is can't be said. */
  readonly rule: string
  /** `audit`: it was served all the same. */
  readonly mode: 'enforce' | 'audit'
  readonly protocol: 'http' | 'grpc'
  readonly method: string
  /** As the caller wrote it, without the query, which may hold secrets. */
  readonly path: string
  /** Of the connection's other end; undefined when it has proved none. */
  readonly identity: string | undefined
  /** Of the connection's other end. */
  readonly address: string
  /** As it calls itself. */
  readonly caller: string
}

const denials = channel('inmesh:authorization')

/**
 * Tells why requests are refused, which their callers are not told: each by the channel `inmesh:authorization`, at no cost while nobody listens, and by a
 * warning of the process, once a minute and rule with how many there were.
 */
export class Denials {
  readonly #warnings: RareWarnings<Rule>

  constructor(clock: Clock) {
    this.#warnings = new RareWarnings(clock, 'INMESH_UNAUTHORIZED')
  }

  tell(inbound: Inbound, rule: Rule): void {
    if (denials.hasSubscribers) denials.publish(denialOf(inbound, rule))
    this.#warnings.warn(rule, () => textOf(denialOf(inbound, rule)))
  }
}

function denialOf(inbound: Inbound, { name, enforce }: Rule): Denial {
  const { protocol, method, path, peer, caller } = inbound
  const bare = path.split(/[?#]/, 1)[0] as string
  return { rule: name, mode: enforce ? 'enforce' : 'audit', protocol, method, path: bare, ...peer, caller }
}

function textOf({ rule, mode, method, path, identity, address }: Denial): string {
  const verb = mode === 'enforce' ? 'refused' : 'would have refused'
  const from = `${identity ?? 'a caller without identity'} at ${address || 'no address'}`
  return `inbound.authorization: ${shown(rule)} ${verb} ${shown(method)} ${shown(path)} from ${from}`
}
