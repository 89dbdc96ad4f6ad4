import type { Admission, AdmissionFactory } from '../core/admission.ts'
import type { Runtime } from '../core/clock.ts'
import type { Inbound, InboundReason, Priority, Refusal } from '../core/inbound.ts'
import type { InboundObserver } from '../core/inbound-observer.ts'
import { aBoolean, aFunction, anything, readOptions } from '../core/options.ts'
import type { ConnectionKind } from '../core/tls-observer.ts'
import { Authorization } from './authorization/authorization.ts'
import type { AuthorizationOptions } from './authorization/authorization-options.ts'
import { Denials } from './authorization/denials.ts'
import type { RequestMatching } from './authorization/request-matching.ts'
import { LoadMonitor, type LoopUtilization } from './load-monitor.ts'
import { priorityOf } from './priority.ts'
import { trustedProxies } from './trusted-proxies.ts'

/** What a mesh is to the servers of its process: `{ mesh }` of `inmeshExpress`, `inmeshFastify` and `inmeshHttp`. */
export interface ServingMesh {
  readonly inbound: Reception
}

/** What the mesh gives. */
export interface ReceptionParts {
  /** This process's own service; empty when it has none. */
  readonly name: string
  readonly runtime: Runtime
  readonly observer: InboundObserver
  /** What the certificate of a connection's other end proved. Default: nothing. */
  readonly identityOf?: (socket: unknown) => string | undefined
  /** How a connection's other end came. Default: in plaintext. */
  readonly securityOf?: (socket: unknown) => ConnectionKind
  /** The trust domain of this process's own identity, once it is known. Default: it has none. */
  readonly trustDomain?: (() => string | undefined) | undefined
  /** For rules that are for some requests and not for others. Default: there may be none. */
  readonly matching?: RequestMatching
  /** How busy the event loop was since it was last asked. Default: this process's own. */
  readonly loop?: LoopUtilization
}

export interface ReceptionOptions {
  /** Refuse a request whose deadline has passed before its handler runs. Default false: shadow mode, it is counted only. */
  readonly enforceDeadlines: boolean
  /** Who may ask for what. Default: everybody for everything. */
  readonly authorization: AuthorizationOptions | undefined
  /** Limits and whatever else may refuse, in this order. Default: none. */
  readonly admissions: readonly AdmissionFactory[]
  /** Addresses and networks whose `X-Forwarded-For` is believed: `10.0.0.0/8`, `::1`. Default: none. */
  readonly trustedProxies: readonly string[]
  /** What a request is worth. Default: health checks are exempt, else the header `x-inmesh-priority`. */
  readonly priority: (inbound: Inbound) => Priority
  /** Answer with an ORCA load report. Default true. */
  readonly loadReports: boolean
}

const DEFAULTS: ReceptionOptions = {
  enforceDeadlines: false,
  authorization: undefined,
  admissions: [],
  trustedProxies: [],
  priority: priorityOf,
  loadReports: true,
}

/** `leaving`: still serves, but says that it is about to go. `left`: refuses. */
export type ReceptionState = 'serving' | 'leaving' | 'left'

/**
 * Where every request that this process serves is received, whatever its protocol and its framework: one a mesh. A door (node:http,
 * Fastify, Express, gRPC) makes an `Inbound`, calls `begin`, serves or refuses it, and calls `answered` (if it can) and `end`.
 *
 * What a request passes through, in this order, and why:
 *
 * 1. counted and shown to the observer: what is refused is seen, too
 * 2. draining: whoever has left serves nobody
 * 3. authorization: before all that a stranger could use up, or learn; after draining, so that those who may ask are sent to another process
 * 4. deadline: what nobody waits for any more must not use up anybody's limit
 * 5. admissions in the order given; the first that refuses ends it, unless it is in shadow mode
 */
export class Reception {
  readonly name: string
  readonly runtime: Runtime
  readonly observer: InboundObserver
  readonly identityOf: (socket: unknown) => string | undefined
  readonly securityOf: (socket: unknown) => ConnectionKind
  /** Whether an address is a proxy whose word counts. */
  readonly trusts: (address: string) => boolean
  /** Undefined when nobody is to be told. */
  readonly load: LoadMonitor | undefined
  /** Whether doors should call `answered`: some admission takes permits back. */
  readonly holdsPermits: boolean
  state: ReceptionState = 'serving'
  /** Requests that are not over yet. */
  inFlight = 0
  readonly #admissions: readonly Admission[]
  readonly #options: ReceptionOptions
  readonly #parts: ReceptionParts
  #authorization: Authorization | undefined
  #denials: Denials
  #whenIdle: (() => void)[] = []

  /** @throws MeshError INMESH_CONFIG */
  constructor(parts: ReceptionParts, options?: Partial<ReceptionOptions>) {
    const read = readOptions('inbound', options, DEFAULTS, {
      enforceDeadlines: aBoolean,
      authorization: anything,
      admissions: factories,
      trustedProxies: anything,
      priority: aFunction,
      loadReports: aBoolean,
    })
    this.name = parts.name
    this.runtime = parts.runtime
    this.observer = parts.observer
    this.identityOf = parts.identityOf ?? noIdentity
    this.securityOf = parts.securityOf ?? inPlaintext
    this.trusts = trustedProxies('inbound.trustedProxies', read.trustedProxies)
    this.load = read.loadReports ? new LoadMonitor(parts.loop) : undefined
    this.#admissions = read.admissions.map((make) => make(parts.runtime))
    this.holdsPermits = this.#admissions.some((admission) => admission.release !== undefined)
    this.#options = read
    this.#parts = parts
    this.#denials = new Denials(parts.runtime.clock)
    this.authorize(read.authorization)
  }

  /** Whether new requests are welcome: what a readiness probe wants to know. */
  get ready(): boolean {
    return this.state === 'serving'
  }

  /**
   * Puts another policy in the place of the one there is, for every request that comes from now on; undefined allows everything. When it throws, the old one
   * stays.
   *
   * @throws MeshError INMESH_CONFIG with all problems at once
   */
  authorize(options: AuthorizationOptions | undefined): void {
    const path = 'inbound.authorization'
    const { matching, trustDomain } = this.#parts
    this.#authorization = options === undefined ? undefined : new Authorization(path, options, matching, trustDomain)
    this.#denials = new Denials(this.runtime.clock)
  }

  // === a request

  /** A request is here. Sets `inbound.refusal` when it must be turned away; either way `end` follows exactly once. */
  begin(inbound: Inbound): void {
    this.inFlight++
    this.observer.requestStarted(inbound)
    if (this.state === 'left') this.#refuse(inbound, DRAINING)
    else if (this.#authorization !== undefined) this.#askWhetherItMay(inbound, this.#authorization)
    if (inbound.refusal === undefined && inbound.deadline <= inbound.startedAt) this.#deadlinePassed(inbound)
    if (this.#admissions.length > 0 && inbound.refusal === undefined) this.#ask(inbound)
  }

  /** For doors that know of a later moment before the handler runs (its body has arrived): refuses a request whose time is spent meanwhile. */
  recheck(inbound: Inbound): void {
    if (inbound.deadline !== Number.POSITIVE_INFINITY && inbound.deadline <= this.runtime.clock.now())
      this.#deadlinePassed(inbound)
  }

  /** The head of its answer is written, with this status. */
  answered(inbound: Inbound, reason: InboundReason): void {
    if (inbound.permits !== 0) this.#release(inbound, reason)
  }

  /**
   * It is over: `ok` and `error_status` when the answer went out whole, `cancelled` and `broken_off` when it did not. A second call is ignored.
   *
   * @param status the HTTP status or the gRPC code
   */
  end(inbound: Inbound, status: number, reason: InboundReason): void {
    if (inbound.ended) return
    const now = this.runtime.clock.now()
    const word = inbound.refusal?.reason ?? (isWhole(reason) || now < inbound.deadline ? reason : 'timeout')
    if (inbound.permits !== 0) this.#release(inbound, word)
    this.load?.ended(isError(word))
    this.observer.requestEnded(inbound, status, word, now - inbound.startedAt)
    if (isWhole(reason) || inbound.refusal !== undefined) inbound.settle()
    else inbound.leave(word === 'timeout' ? 'timeout' : 'cancelled')
    this.inFlight--
    if (this.inFlight === 0 && this.#whenIdle.length > 0) this.#idle()
  }

  #askWhetherItMay(inbound: Inbound, authorization: Authorization): void {
    const rule = authorization.refusing(inbound)
    if (rule === undefined) return
    if (rule.enforce) this.#refuse(inbound, rule.refusal)
    else this.observer.requestRefused(inbound, rule.refusal, 'shadow')
    this.#denials.tell(inbound, rule)
  }

  #ask(inbound: Inbound): void {
    inbound.priority = this.#options.priority(inbound)
    if (inbound.priority === 'exempt') return
    for (let i = 0; i < this.#admissions.length; i++) {
      const admission = this.#admissions[i] as Admission
      const refusal = admission.admit(inbound, inbound.startedAt)
      if (refusal === undefined) {
        if (admission.release !== undefined) inbound.permits |= 1 << i
      } else if (admission.enforce) return this.#refuse(inbound, refusal)
      else this.observer.requestRefused(inbound, refusal, 'shadow')
    }
  }

  /** Found out at most once: in shadow mode a request goes on and may be looked at again. */
  #deadlinePassed(inbound: Inbound): void {
    if (inbound.late) return
    inbound.late = true
    if (this.#options.enforceDeadlines) this.#refuse(inbound, DEADLINE_PASSED)
    else this.observer.requestRefused(inbound, DEADLINE_PASSED, 'shadow')
  }

  #refuse(inbound: Inbound, refusal: Refusal): void {
    inbound.refusal = refusal
    this.observer.requestRefused(inbound, refusal, 'enforced')
  }

  #release(inbound: Inbound, reason: InboundReason): void {
    const now = this.runtime.clock.now()
    const { permits } = inbound
    inbound.permits = 0
    for (let i = 0; i < this.#admissions.length; i++) {
      if ((permits & (1 << i)) !== 0) this.#admissions[i]?.release?.(inbound, now, reason)
    }
  }

  // === leaving

  /** Runs `fn` when nothing is in flight; at once when nothing is. Returns a function that takes it back. */
  whenIdle(fn: () => void): () => void {
    if (this.inFlight === 0) {
      fn()
      return () => {}
    }
    this.#whenIdle.push(fn)
    return () => {
      this.#whenIdle = this.#whenIdle.filter((other) => other !== fn)
    }
  }

  #idle(): void {
    const waiting = this.#whenIdle
    this.#whenIdle = []
    for (const fn of waiting) fn()
  }
}

const DEADLINE_PASSED: Refusal = Object.freeze({ reason: 'deadline_passed', retryAfterMs: 0 })
const DRAINING: Refusal = Object.freeze({ reason: 'draining', retryAfterMs: 0 })
/** Permits are bits. */
const MAX_ADMISSIONS = 30

function noIdentity(): undefined {}

function inPlaintext(): ConnectionKind {
  return 'plaintext'
}

function isWhole(reason: InboundReason): boolean {
  return reason === 'ok' || reason === 'error_status'
}

/** For the load report. What was refused cost nothing, and a caller that leaves is no fault of ours. */
function isError(reason: InboundReason): boolean {
  return reason === 'error_status' || reason === 'broken_off' || reason === 'timeout'
}

function factories(value: unknown): string | undefined {
  const right = Array.isArray(value) && value.length <= MAX_ADMISSIONS && value.every((one) => typeof one === 'function')
  return right ? undefined : `a list of at most ${MAX_ADMISSIONS} admissions, such as [concurrencyLimit()]`
}
