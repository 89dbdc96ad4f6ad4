import type { Call } from '../../core/call.ts'
import type { Clock } from '../../core/clock.ts'
import { requiredIdentities } from '../../core/identity-requirement.ts'
import { Behalf, hopHeaders } from '../behalf.ts'
import type { MeshedRequest } from './agent-contract.ts'
import type { Destination } from './destination.ts'

/** A call as its `ClientRequest` describes it. */
export class HttpCall implements Call {
  readonly authority: string
  readonly secure: boolean
  readonly request: MeshedRequest
  readonly behalf = new Behalf()
  readonly requiredIds: readonly string[] | undefined = requiredIdentities()

  constructor({ authority, secure }: Destination, request: MeshedRequest) {
    this.authority = authority
    this.secure = secure
    this.request = request
  }

  get resent(): boolean {
    return this.behalf.resent
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

  /**
   * Adds what the next hop is told, unless the application gave its headers as a list, which are fixed by now; and ends with whoever asked.
   *
   * @param caller this process's own service
   * @param timeoutMs the route's; 0 for none
   */
  begin(caller: string, timeoutMs: number, clock: Clock): void {
    const now = clock.now()
    const more = hopHeaders(caller, this.behalf.leftMs(now, timeoutMs, now), this.behalf.numberOf(1))
    this.behalf.passTraceOn(this.behalf.traceparentFor(this), more)
    const { request } = this
    if (!request.headersSent) for (let i = 0; i < more.length; i += 2) request.setHeader(more[i] as string, more[i + 1] as string)
    this.behalf.bind(this)
  }

  /** Whoever asked has left. */
  abort(reason: Error): void {
    this.request.destroy(reason)
  }
}

/** RFC 9110 section 9.2.2, and QUERY. */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE', 'QUERY'])
