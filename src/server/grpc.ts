import type { ServerInterceptingCall, ServerInterceptor } from '@grpc/grpc-js'
import { type GrpcServerOptions, HandlerFailures } from './grpc-handler-failures.ts'
import { handlerOf } from './grpc-inside.ts'
import { markInterceptor } from './grpc-interceptor-mark.ts'
import { GrpcLoadReports } from './grpc-load-reports.ts'
import { MeshedCall, type Serving } from './grpc-meshed-call.ts'
import type { Reception } from './reception.ts'

/**
 * An interceptor for servers of grpc-js: `new grpc.Server({ interceptors: [mesh.grpcServer()] })`. Put it first: what stands before it is neither measured nor
 * bounded.
 *
 * Handlers of every kind run with the context of their call, so that every call they make inherits deadline and cancellation; `currentContext()` is what
 * `request.mesh` is elsewhere. A handler that rejects answers with its error's code, else UNKNOWN, and does not end the process. One answer is sent where
 * there is one, even if the handler gives two.
 */
export function grpcServerInterceptor(reception: Reception, { onError }: GrpcServerOptions = {}): ServerInterceptor {
  const failures = new HandlerFailures(onError)
  const serving: Serving = { reception, reports: reception.load && new GrpcLoadReports(reception.load), failures }
  return markInterceptor((method, call) => {
    const handler = handlerOf(call)
    if (handler !== undefined) failures.watch(handler)
    return meshed(serving, method, call)
  })
}

/** The same for those who did not ask for it: a handler that fails is left to grpc-js and to Node. */
export function unaskedGrpcInterceptor(reception: Reception): ServerInterceptor {
  const failures = new HandlerFailures(undefined)
  const serving: Serving = { reception, reports: reception.load && new GrpcLoadReports(reception.load), failures }
  return markInterceptor((method, call) => meshed(serving, method, call))
}

function meshed(serving: Serving, ...[method, call]: Parameters<ServerInterceptor>): ServerInterceptingCall {
  // grpc-js asks for its class, of which it uses what the interface says; to extend it would cost its state besides ours
  return new MeshedCall(serving, method, call) as unknown as ServerInterceptingCall
}
