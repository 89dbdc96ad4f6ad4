import type { AdmissionFactory } from '../../src/core/admission.ts'
import { Inbound, type Refusal } from '../../src/core/inbound.ts'
import { Reception } from '../../src/server/reception.ts'
import { GoldenMetrics, type GoldenMetricsOptions } from '../../src/telemetry/golden-metrics.ts'
import { type VirtualClock, virtualRuntime } from '../support/virtual-time.ts'

/** What one made-up request says and does. */
export interface Request {
  readonly protocol?: 'http' | 'grpc'
  readonly scheme?: 'http' | 'https'
  readonly method?: string
  /** For gRPC the method's path, empty for one that the server doesn't have. */
  readonly route?: string
  readonly caller?: string
  readonly attempt?: number
  readonly leftMs?: number
  /** HTTP status or gRPC code. */
  readonly status?: number
  readonly reason?: 'ok' | 'error_status' | 'cancelled' | 'broken_off'
  readonly ms?: number
}

/** A real reception on a clock that is turned by hand, watched by golden metrics. */
export class SmallServer {
  readonly #runtime = virtualRuntime()
  readonly clock: VirtualClock = this.#runtime.clock
  readonly metrics: GoldenMetrics
  readonly #reception: Reception

  constructor(admissions: readonly AdmissionFactory[] = [], options?: Partial<GoldenMetricsOptions>) {
    this.metrics = new GoldenMetrics(this.clock, options)
    const parts = { name: 'voting', runtime: this.#runtime, observer: this.metrics.inbound }
    this.#reception = new Reception(parts, { admissions, loadReports: false })
  }

  /** One request, whole. */
  run(request: Request = {}): void {
    const inbound = this.begin(request)
    this.clock.advance(request.ms ?? 0)
    this.end(inbound, request)
  }

  begin(request: Request = {}): Inbound {
    const inbound = new MadeUpInbound(this.clock, request)
    if (request.protocol === 'grpc') inbound.route = request.route ?? ''
    this.#reception.begin(inbound)
    return inbound
  }

  end(inbound: Inbound, { protocol, route = '', status, reason = 'ok' }: Request = {}): void {
    inbound.route = route
    this.#reception.end(inbound, status ?? (protocol === 'grpc' ? 0 : 200), reason)
  }
}

/** Refuses what comes from those callers. */
export function refusing(caller: string, reason: Refusal['reason'], enforce: boolean): AdmissionFactory {
  const refusal = { reason, retryAfterMs: 0 }
  return () => ({ enforce, admit: (inbound) => (inbound.caller === caller ? refusal : undefined) })
}

class MadeUpInbound extends Inbound {
  readonly protocol: 'http' | 'grpc'
  readonly scheme: 'http' | 'https'
  readonly method: string
  readonly path = '/'
  readonly attempt: number
  readonly caller: string
  readonly peer = { address: '10.0.0.7', identity: undefined }
  readonly clientAddress = '10.0.0.7'

  constructor(clock: VirtualClock, { protocol = 'http', scheme = 'http', method, caller, attempt, leftMs }: Request) {
    super(clock, clock.now(), clock.now() + (leftMs ?? Number.POSITIVE_INFINITY))
    this.protocol = protocol
    this.scheme = scheme
    this.method = method ?? (protocol === 'grpc' ? 'POST' : 'GET')
    this.attempt = attempt ?? 1
    this.caller = caller ?? ''
  }

  header(): undefined {}
}
