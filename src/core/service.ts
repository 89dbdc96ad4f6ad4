import { Attempt } from './attempt.ts'
import type { Balancer, BalancerFactory } from './balancer.ts'
import type { Call } from './call.ts'
import type { Clock, Runtime, Timer } from './clock.ts'
import { type Address, Endpoint } from './endpoint.ts'
import { EndpointSet, inTurn, sameEndpoints } from './endpoint-set.ts'
import type { MeshError } from './errors.ts'
import type { GateFactory } from './gate.ts'
import { meetsRequirement } from './identity-requirement.ts'
import { unmetered } from './load.ts'
import type { Observer } from './observer.ts'
import { refusalOf } from './refusal.ts'
import type { RetryBudget } from './retry-policy.ts'
import type { Route } from './route.ts'
import type { ServiceBreaker } from './service-breaker.ts'
import type { StallMeter } from './stall.ts'
import { WaitingRoom } from './waiting-room.ts'

/** Attempts in flight per service (Linkerd's cap); one more is refused, so that an outage costs bounded memory. */
const MAX_IN_FLIGHT = 100_000
/** The share of a service that breakers may take away: below the rest, being picky is worse than asking a sick endpoint. */
const MAX_EJECTED_SHARE = 0.5
/** An endpoint that says it is about to go is believed for so long, unless discovery confirms it, in milliseconds: it may be back by then. */
const LEAVING_MS = 10_000
/** Picks before all ready endpoints are asked in turn; only reached when gates refuse. */
const PICKS = 3
/** The longest a timer can run, in milliseconds. */
const MAX_TIMER_MS = 2_147_483_647

/** What a service is made of. */
export interface ServiceParts {
  readonly name: string
  readonly runtime: Runtime
  readonly balancer: BalancerFactory
  readonly gate: GateFactory
  readonly budget: RetryBudget
  readonly stalls: StallMeter
  readonly observer: Observer
  readonly identities?: readonly string[] | undefined
  /** Off when undefined. */
  readonly breaker?: ServiceBreaker | undefined
}

/** Counts of a service's endpoints by state. */
export interface EndpointCounts {
  readonly total: number
  /** In the balancer's sight. */
  readonly ready: number
  /** Their breaker is shut, whether they are used all the same or not. */
  readonly shut: number
}

/**
 * A destination: its endpoints, who of them may be asked, and what was learnt of each. One per destination, shared by every door, so
 * that fetch, node:http and gRPC calls see the same load and the same breakers.
 */
export class Service {
  readonly name: string
  readonly clock: Clock
  readonly stalls: StallMeter
  readonly observer: Observer
  readonly budget: RetryBudget
  /** SPIFFE IDs of which each endpoint proves one; empty for that which discovery names, undefined when nobody proves any. */
  readonly identities: readonly string[] | undefined
  /** Asked by the doors before a call begins; undefined when off. */
  readonly breaker: ServiceBreaker | undefined
  /** Attempts begun and not ended. */
  inFlight = 0
  /** Why discovery failed last, until it succeeds again. */
  discoveryError: Error | undefined
  readonly #runtime: Runtime
  readonly #balancer: Balancer
  readonly #gate: GateFactory
  readonly #set = new EndpointSet()
  #ready: readonly Endpoint[] = []
  #shutCount = 0
  #recheck: Timer | undefined
  /** When the timer falls due; Infinity without one. */
  #recheckTime = Number.POSITIVE_INFINITY
  readonly #room: WaitingRoom

  constructor(parts: ServiceParts) {
    this.name = parts.name
    this.clock = parts.runtime.clock
    this.stalls = parts.stalls
    this.observer = parts.observer
    this.budget = parts.budget
    this.identities = parts.identities
    this.breaker = parts.breaker
    this.#runtime = parts.runtime
    this.#balancer = parts.balancer(parts.runtime)
    this.#gate = parts.gate
    this.#room = new WaitingRoom(this.clock)
  }

  /** Every endpoint, ready or not. */
  get endpoints(): readonly Endpoint[] {
    return this.#set.list
  }

  get counts(): EndpointCounts {
    return { total: this.#set.list.length, ready: this.#ready.length, shut: this.#shutCount }
  }

  // === the request path

  /**
   * Picks an endpoint, asks its gate and begins: about 0.3 us.
   *
   * @param number from 1
   * @param previous the endpoint of the attempt before; not used again while there is another
   * @param now monotonic milliseconds, when the door has just read the clock
   * @returns undefined when there is no endpoint, none that the call allows, or every gate refuses
   */
  attempt(call: Call, route: Route, number: number, previous?: Endpoint, now = this.clock.now()): Attempt | undefined {
    if (this.inFlight >= MAX_IN_FLIGHT) return undefined
    let avoid = previous
    for (let i = 0; i < PICKS; i++) {
      const endpoint = this.#balancer.pick(call, now, avoid)
      if (endpoint === undefined) return undefined
      if ((i > 0 && endpoint === previous) || !meetsRequirement(call, endpoint, this.identities)) break
      if (endpoint.forced) return this.#begin(call, route, endpoint, number, now, false)
      if (endpoint.gate.acquire(now)) return this.#begin(call, route, endpoint, number, now, true)
      avoid = endpoint
    }
    return this.#askInTurn(call, route, number, now, previous)
  }

  /**
   * One more attempt of a call beside those under way. Not at an endpoint that is only used for want of others (panic): a sick service gets no
   * more load than it must.
   *
   * @param used the endpoints of the call's other attempts, the latest last: none of them is asked
   * @returns undefined when there is no other endpoint, or every gate refuses
   */
  hedge(call: Call, route: Route, number: number, used: readonly Endpoint[]): Attempt | undefined {
    const now = this.clock.now()
    if (this.inFlight >= MAX_IN_FLIGHT) return undefined
    const picked = this.#balancer.pick(call, now, used.at(-1))
    for (const endpoint of [...(picked === undefined ? [] : [picked]), ...inTurn(this.#ready, this.#runtime.random())])
      if (!endpoint.forced && !used.includes(endpoint) && this.#admits(call, endpoint, now))
        return this.#begin(call, route, endpoint, number, now, true, true)
    return undefined
  }

  #begin(call: Call, route: Route, endpoint: Endpoint, number: number, now: number, admitted: boolean, hedge = false): Attempt {
    this.inFlight++
    const attempt = new Attempt(this, call, route, endpoint, number, now, admitted, hedge)
    if (admitted && endpoint.gate.shutUntil > now) this.#probes(endpoint, now)
    return attempt
  }

  /** The permit shut the gate, so this is a probe. It counts as shut since it was shut first, or panic would send it more than the probe. */
  #probes(endpoint: Endpoint, now: number): void {
    endpoint.shut = true
    this.#refresh(now)
  }

  /** The rare end of a series of refusals: complete, therefore a scan; `previous` comes last. */
  #askInTurn(call: Call, route: Route, number: number, now: number, previous: Endpoint | undefined): Attempt | undefined {
    const ready = this.#ready
    const offset = Math.floor(this.#runtime.random() * ready.length)
    let last: Endpoint | undefined
    for (let i = 0; i < ready.length; i++) {
      const endpoint = ready[(offset + i) % ready.length] as Endpoint
      if (endpoint === previous) last = endpoint
      else if (this.#admits(call, endpoint, now)) return this.#begin(call, route, endpoint, number, now, !endpoint.forced)
    }
    if (last === undefined || !this.#admits(call, last, now)) return undefined
    return this.#begin(call, route, last, number, now, !last.forced)
  }

  #admits(call: Call, endpoint: Endpoint, now: number): boolean {
    return meetsRequirement(call, endpoint, this.identities) && (endpoint.forced || endpoint.gate.acquire(now))
  }

  /** An endpoint's gate may have changed its mind. Called by the attempt. */
  judged(endpoint: Endpoint, now: number): void {
    const { gate } = endpoint
    // another object with the same gate may have taken its place
    const current = endpoint.removed ? this.#set.get(endpoint.name) : endpoint
    if (current === undefined || current.gate !== gate) return
    const { shutUntil } = current
    if (shutUntil > now !== current.shut) this.#refresh(now)
    else if (current.shut && shutUntil < this.#recheckTime) this.#recheckAt(shutUntil, now)
  }

  /** An endpoint has said that it is about to go: the others take its calls before any fails. Called by the doors. */
  leaving(endpoint: Endpoint): void {
    const now = this.clock.now()
    if (endpoint.leavingUntil > now || endpoint.removed) return
    endpoint.leavingUntil = now + LEAVING_MS
    this.#refresh(now)
  }

  // === endpoints

  /** The whole set of addresses, as discovery tells it. Endpoints that stay keep what was learnt of them. */
  update(addresses: readonly Address[]): void {
    const now = this.clock.now()
    const since = this.#set.updates === 0 ? Number.NEGATIVE_INFINITY : now
    this.discoveryError = undefined
    const left = this.#set.update(addresses, (address) => this.#join(address, since))
    if (left === undefined) return
    this.#refresh(now)
    for (const endpoint of left) endpoint.leave()
  }

  /** Discovery failed; the last set stays. */
  discoveryFailed(error: Error): void {
    this.discoveryError = error
  }

  #join(address: Address, since: number): Endpoint {
    return new Endpoint(address, since, this.#balancer.meter?.() ?? unmetered, this.#gate(this.#runtime))
  }

  /** Decides anew who is in the balancer's sight; on change only. Comes last in whatever it is part of, since waiting calls go on from here. */
  #refresh(now: number): void {
    const endpoints = this.#set.list
    const shut: Endpoint[] = []
    let next = Number.POSITIVE_INFINITY
    for (let i = 0; i < endpoints.length; i++) {
      const endpoint = endpoints[i] as Endpoint
      const { shutUntil } = endpoint
      const isShut = shutUntil > now
      if (isShut) {
        if (!endpoint.shut) endpoint.shutSince = now
        if (shutUntil < next) next = shutUntil
        shut.push(endpoint)
      }
      endpoint.shut = isShut
      endpoint.forced = false
    }
    this.#shutCount = shut.length
    this.#force(shut)
    this.#show(shut.length === 0 ? endpoints : endpoints.filter((endpoint) => !endpoint.shut || endpoint.forced))
    this.#recheckAt(next, now)
    this.observer.endpointsChanged(this)
    if (this.#ready.length > 0) this.#room.filled()
    else this.#room.emptied(now)
  }

  /** Of those that are shut, half of the service stay out, the oldest first; the rest are used without asking their gate (panic). */
  #force(shut: Endpoint[]): void {
    const most = Math.floor(this.#set.list.length * MAX_EJECTED_SHARE)
    if (shut.length <= most) return
    shut.sort((a, b) => a.shutSince - b.shutSince)
    for (let i = most; i < shut.length; i++) (shut[i] as Endpoint).forced = true
  }

  #show(ready: readonly Endpoint[]): void {
    if (sameEndpoints(ready, this.#ready)) return
    this.#ready = ready
    this.#balancer.update(ready)
  }

  /** One timer a service, at the time the next shut gate would let a probe through. */
  #recheckAt(time: number, now: number): void {
    if (time === this.#recheckTime) return
    this.#recheck?.cancel()
    this.#recheckTime = time
    const wait = Math.min(MAX_TIMER_MS, Math.max(1, Math.ceil(time - now)))
    this.#recheck = time === Number.POSITIVE_INFINITY ? undefined : this.clock.after(wait, this.#lookAgain)
  }

  readonly #lookAgain = (): void => {
    this.#recheckTime = Number.POSITIVE_INFINITY
    this.#refresh(this.clock.now())
  }

  // === waiting for the first endpoint

  /**
   * Waits until there is an endpoint, or until the service has had none for 3 s.
   *
   * @param done is called once: true when an attempt is worth making, false when it is time to give up
   * @returns a function that leaves the queue, or undefined when nobody may wait: `done` was not and will not be called
   */
  whenReady(done: (ready: boolean) => void): (() => void) | undefined {
    return this.#room.enter(done)
  }

  /** Calls that wait for the first endpoint. */
  get waiting(): number {
    return this.#room.size
  }

  /** Why no attempt could be made, with the counts. */
  refusal(attempts: number, call?: Call): MeshError {
    return refusalOf(this, attempts, call)
  }

  /** Lets go of endpoints, timers and whoever waits. Idempotent. */
  close(): void {
    this.breaker?.close()
    this.update([])
    this.#room.close()
  }
}
