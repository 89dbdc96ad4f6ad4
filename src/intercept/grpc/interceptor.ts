import {
  InterceptingCall,
  type Interceptor,
  type InterceptorOptions,
  type Metadata,
  status as Status,
  type StatusObject,
} from '@grpc/grpc-js'
import type { MeshError } from '../../core/errors.ts'
import { requiredIdentities, unprovenOutside } from '../../core/identity-requirement.ts'
import type { Route } from '../../core/route.ts'
import type { CallPermit } from '../../core/service-breaker.ts'
import { BREAKER_OPEN, CANCELLED, REFUSED, TIMEOUT, type Verdict } from '../../core/verdict.ts'
import type { DoorParts } from '../door-parts.ts'
import { CallRequest } from './call-request.ts'
import { breakerOpen, refused } from './call-statuses.ts'
import { CallTime } from './call-time.ts'
import { type Caller, callerOf } from './caller.ts'
import { judgeGrpcStatus } from './judge-status.ts'

/**
 * An interceptor for clients that can be given nothing but one: `new VotingClient(address, credentials, { interceptors: [interceptor] })`.
 *
 * A call through it counts as one to the service, is bounded by the route's `timeoutMs` and by the deadline of the request that is being served,
 * ends when that request's caller leaves, and is refused while the service's own breaker is open.
 *
 * What it can't do: grpc-js asks interceptors before and endpoints after, so the client goes on finding and balancing its endpoints by
 * itself. There are no attempts, and so no resending, no `perTryTimeoutMs`, no endpoint breaker and no statistics of endpoints, and a call that requires an identity is refused. Routes are
 * found by the method alone, as the metadata isn't known when the deadline must be. `grpcClientOptions` does all of it.
 *
 * @param service the service that the client calls: `voting`, or `voting:8080` where services are configured by port; one that is not ours
 *   is counted as egress, and its calls are left as they are
 */
export function grpcInterceptor(parts: DoorParts, service: string): Interceptor {
  const authority = service.toLowerCase()
  return (options, nextCall) => {
    const table = parts.router.table(authority, false)
    if (table === undefined) {
      parts.egress(`http://${authority}`)
      const required = requiredIdentities()
      const call = nextCall(options)
      return required === undefined ? new InterceptingCall(call) : refusing(call, unprovenOutside(authority, required))
    }
    const request = new CallRequest(authority, options.method_definition.path, () => false)
    const call = new MeteredCall(parts, request, table.route(request), options)
    return call.intercept(nextCall)
  }
}

/** A call that is over before it starts. */
function refusing(call: NextCall, error: MeshError): InterceptingCall {
  return new InterceptingCall(call, {
    start: (_metadata, listener) => process.nextTick(() => listener.onReceiveStatus(refused(error))),
  })
}

type NextCall = ConstructorParameters<typeof InterceptingCall>[0]

/** One call that goes by. */
class MeteredCall {
  readonly #request: CallRequest
  readonly #route: Route
  readonly #time: CallTime
  readonly #caller: Caller
  readonly #options: InterceptorOptions
  #permit: CallPermit | undefined
  #left = false
  #ended = false

  constructor({ runtime }: DoorParts, request: CallRequest, route: Route, options: InterceptorOptions) {
    this.#request = request
    this.#route = route
    this.#options = options
    this.#time = new CallTime(runtime.clock)
    this.#caller = callerOf(null, undefined)
    const own = this.#caller.deadline(options.deadline ?? Number.POSITIVE_INFINITY)
    this.#time.start(own, this.#caller.inheritedDeadline, route.timeoutMs)
  }

  intercept(nextCall: (options: InterceptorOptions) => NextCall): InterceptingCall {
    const next = nextCall({ ...this.#options, deadline: this.#time.deadline })
    const call = new InterceptingCall(next, {
      start: (metadata, listener, go) => {
        this.#start(metadata, call, (refusal) => {
          if (refusal !== undefined) return process.nextTick(() => listener.onReceiveStatus(refusal))
          go(this.#request.metadata, { onReceiveStatus: (status, pass) => pass(this.#seen(status)) })
        })
      },
      cancel: (go) => {
        this.#left = true
        go()
      },
    })
    return call
  }

  #start(metadata: Metadata, call: InterceptingCall, go: (refusal?: StatusObject) => void): void {
    const { service, retry } = this.#route
    this.#request.takeMetadata(metadata, '')
    this.#caller.passTraceOn(this.#request.metadata)
    service.observer.callStarted(this.#request, this.#route)
    const { requiredIds } = this.#request
    if (requiredIds !== undefined) {
      this.#end(REFUSED)
      return go(refused(unprovenOutside(service.name, requiredIds)))
    }
    this.#permit = service.breaker?.admit()
    if (service.breaker !== undefined && this.#permit === undefined) {
      const refusal = breakerOpen(this.#route)
      this.#end(BREAKER_OPEN)
      return go(refusal)
    }
    retry.deposit()
    go()
    this.#caller.onLeave((why) => call.cancelWithStatus(Status.CANCELLED, why))
  }

  #seen(status: StatusObject): StatusObject {
    const isTimeout = status.code === Status.DEADLINE_EXCEEDED && this.#time.over
    const isOurDoing = this.#left && status.code === Status.CANCELLED
    this.#request.statusCode = status.code
    this.#end(isTimeout ? TIMEOUT : isOurDoing ? CANCELLED : judgeGrpcStatus(status.code, status.details))
    return status
  }

  #end(verdict: Verdict): void {
    if (this.#ended) return
    this.#ended = true
    this.#caller.stop()
    this.#permit?.end(verdict)
    const status = verdict.outcome === 'success' ? 200 : 0
    this.#route.service.observer.callEnded(this.#request, this.#route, verdict, this.#time.elapsedMs(), 0, status)
  }
}
