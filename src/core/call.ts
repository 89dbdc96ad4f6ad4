/**
 * What the application asked for: one logical request, however many attempts it takes. Each door has its own class
 * for it, so that nothing is copied.
 */
export interface Call {
  /** Host and, when the application gave one, port: `voting`, `voting:8080`. Lower case, no scheme. */
  readonly authority: string
  /** Default: `http`. */
  readonly protocol?: 'http' | 'grpc'
  /** The application asked for TLS itself, as by `https:`. Default false. */
  readonly secure?: boolean
  /** Upper case for HTTP methods; `POST` for gRPC. */
  readonly method: string
  /** Begins with `/`; contains the query. */
  readonly path: string
  /** Whether sending it twice does no harm: what RFC 9110 section 9.2.2 says of the method, unless the caller says otherwise. */
  readonly idempotent: boolean
  /** It is made while serving a request that is itself a resend: what fails is not sent again in its turn. Default false. */
  readonly resent?: boolean
  /** SPIFFE IDs of which the endpoint must have proved one before anything is sent. Default: nothing is required of this call. */
  readonly requiredIds?: readonly string[] | undefined
  /** A request header's value, by its lower-case name; several values are joined by `, `. */
  header(name: string): string | undefined
}
