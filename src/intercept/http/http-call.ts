import type { Call } from '../../core/call.ts'
import type { MeshedRequest } from './agent-contract.ts'

/** A call as its `ClientRequest` describes it. */
export class HttpCall implements Call {
  readonly authority: string
  readonly request: MeshedRequest

  constructor(authority: string, request: MeshedRequest) {
    this.authority = authority
    this.request = request
  }

  get method(): string {
    return this.request.method
  }

  get path(): string {
    return this.request.path
  }

  get idempotent(): boolean {
    return IDEMPOTENT.has(this.request.method) || this.header('idempotency-key') !== undefined
  }

  /** Those given to `http.request()` as an object; headers set on the request later come too late for the route. */
  header(name: string): string | undefined {
    const value = this.request.getHeader(name)
    return value === undefined ? undefined : Array.isArray(value) ? value.join(', ') : String(value)
  }
}

/** RFC 9110 section 9.2.2, and QUERY. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])
