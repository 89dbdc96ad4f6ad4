import type { Call } from './call.ts'

/** The `method` tells them apart: a string in an HTTPRoute's, an object in a GRPCRoute's. Without one it is HTTP's. */
export type RouteMatch = HttpRouteMatch | GrpcRouteMatch

/** An HTTPRouteMatch of the Gateway API: all that is given must hold. A gRPC call is a `POST` of `/package.Service/Method` and can match, too. */
export interface HttpRouteMatch {
  /** Default: prefix `/`. */
  readonly path?: { readonly type?: 'Exact' | 'PathPrefix' | 'RegularExpression'; readonly value: string }
  readonly method?: string
  readonly headers?: readonly StringMatch[]
  readonly queryParams?: readonly StringMatch[]
}

/** A GRPCRouteMatch of the Gateway API: all that is given must hold, and only calls made by gRPC can match. */
export interface GrpcRouteMatch {
  /** At least one of the two; what is left out matches any. Compared with regard to case. */
  readonly method: {
    /** Default: `Exact`. It is that of both. */
    readonly type?: 'Exact' | 'RegularExpression'
    /** With its package: `emojivoto.v1.VotingService`. */
    readonly service?: string
    readonly method?: string
  }
  readonly headers?: readonly StringMatch[]
}

/** A string to compare with, in the Gateway API's words. Of several with the same name, the first counts. */
export interface StringMatch {
  readonly type?: 'Exact' | 'RegularExpression'
  readonly name: string
  readonly value: string
}

/** All that a match looks at: of a call, or of a request that is served. */
export type Matched = Pick<Call, 'protocol' | 'method' | 'path' | 'header'>
