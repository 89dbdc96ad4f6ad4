import type { Call } from '../core/call.ts'

/**
 * Whether somebody further up is already sending this again, so that one failure deep down does not become attempts to the power of
 * the hops: seen by `call.resent`, and by the header when the application forwards that of the request it serves.
 * `x-envoy-attempt-count` counts from 1, `grpc-previous-rpc-attempts` (gRFC A6) from 0.
 */
export function isResent(call: Call): boolean {
  return (
    call.resent === true || above(call.header('x-envoy-attempt-count'), 1) || above(call.header('grpc-previous-rpc-attempts'), 0)
  )
}

function above(header: string | undefined, limit: number): boolean {
  return header !== undefined && Number.parseInt(header, 10) > limit
}
