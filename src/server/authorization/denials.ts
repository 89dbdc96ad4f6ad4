import { channel } from 'node:diagnostics_channel'
import type { Clock } from '../../core/clock.ts'
import type { Inbound } from '../../core/inbound.ts'
import { shown } from '../../core/options.ts'
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

/** A rule that refuses warns at most so often, in milliseconds. */
const WARN_EVERY_MS = 60_000

const denials = channel('inmesh:authorization')

/**
 * Tells why requests are refused, which their callers are not told: each by the channel `inmesh:authorization`, at no cost while nobody listens, and by a
 * warning of the process, once a minute and rule with how many there were.
 */
export class Denials {
  readonly #clock: Clock
  /** As many as a policy has rules. */
  readonly #byRule = new Map<Rule, { warnAt: number; silent: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  tell(inbound: Inbound, rule: Rule): void {
    if (denials.hasSubscribers) denials.publish(denialOf(inbound, rule))
    const now = this.#clock.now()
    const told = this.#byRule.get(rule)
    if (told !== undefined && now < told.warnAt) {
      told.silent++
      return
    }
    this.#byRule.set(rule, { warnAt: now + WARN_EVERY_MS, silent: 0 })
    warn(denialOf(inbound, rule), told?.silent ?? 0)
  }
}

function denialOf(inbound: Inbound, { name, enforce }: Rule): Denial {
  const { protocol, method, path, peer, caller } = inbound
  const bare = path.split(/[?#]/, 1)[0] as string
  return { rule: name, mode: enforce ? 'enforce' : 'audit', protocol, method, path: bare, ...peer, caller }
}

function warn({ rule, mode, method, path, identity, address }: Denial, silent: number): void {
  const verb = mode === 'enforce' ? 'refused' : 'would have refused'
  const from = `${identity ?? 'a caller without identity'} at ${address || 'no address'}`
  const more = silent > 0 ? `, and ${silent} more since the last warning` : ''
  const text = `inbound.authorization: ${shown(rule)} ${verb} ${shown(method)} ${shown(path)} from ${from}${more}`
  process.emitWarning(text, { type: 'MeshWarning', code: 'INMESH_UNAUTHORIZED' })
}
