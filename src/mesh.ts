import type { Server } from 'node:net'
import { type MeshConfig, type MeshOptions, readConfig } from './config.ts'
import { type Runtime, systemClock, systemRandom } from './core/clock.ts'
import { observers } from './core/observer.ts'
import type { RouteTable } from './core/route.ts'
import { StallMeter } from './core/stall.ts'
import type { Registration } from './discovery/local.ts'
import { type AnnounceOptions, announceServer } from './discovery/registry/announce-server.ts'
import { MeshAgent } from './intercept/http/agent.ts'
import { MeshDispatcher } from './intercept/undici/dispatcher.ts'
import { createFetch } from './intercept/undici/fetch.ts'
import { presentDispatcher } from './intercept/undici/global.ts'
import { createRequest, type MeshRequest } from './intercept/undici/request.ts'
import { type OpenService, openService } from './open-service.ts'
import { retryLoop } from './resilience/retry-loop.ts'
import { isServiceName, router } from './routing/router.ts'
import { GoldenMetrics } from './telemetry/golden-metrics.ts'
import { type MetricProducerOptions, metricProducer } from './telemetry/metric-producer.ts'
import { prometheusText } from './telemetry/prometheus.ts'
import { type MeshStats, statsOf } from './telemetry/stats.ts'
import type { ConnectionOptions } from './transport/connector.ts'

/**
 * THE MAIN PATH. What a call passes through, in this order, and why each stands where it does:
 *
 * 1. intercept: a door takes the call as its library made it (undici, fetch, node:http) and asks
 * 2. routing:   whose call is it? not ours -> passed through untouched; ours -> a route: a service, timeouts, a retry policy
 * 3. service breaker (off by default): refuses before anything is spent on the call
 * 4. retry budget: the call pays in, whatever becomes of it
 * 5. total timeout: above the attempts, since it bounds them all
 * 6. discovery: keeps the service's endpoints; a call waits up to 3 s for the first
 * 7. balancer:  picks one of the ready ones; below retries, so that each attempt picks anew
 * 8. endpoint breaker: admits; below the balancer, since it judges one endpoint
 * 9. attempt:   per-try timeout, load meter, in-flight count; ends exactly once with one verdict that all of the above read
 * 10. transport: the endpoint's connections
 *
 * Telemetry looks on at 1 (calls) and 9 (attempts).
 */
export function createMesh(options: MeshOptions = {}): Mesh {
  return new Mesh(readConfig(options))
}

/** A mesh: its doors, what it has seen, and its end. Make one per process and keep it. */
export class Mesh {
  /** This process's own service; empty when it has none. */
  readonly name: string
  /** For `setGlobalDispatcher(mesh.dispatcher)` and `fetch(url, { dispatcher })`: everything undici. */
  readonly dispatcher: MeshDispatcher
  /** WHATWG fetch at less than half of its usual cost. */
  readonly fetch: typeof globalThis.fetch
  /** `undici.request`, the cheapest door. */
  readonly request: MeshRequest
  /** For node:http, axios, got: `http.get({ host: 'voting', agent: mesh.httpAgent })`. */
  readonly httpAgent: MeshAgent
  /** The same for node:https. */
  readonly httpsAgent: MeshAgent
  readonly #config: MeshConfig
  readonly #runtime: Runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  /** For what goes on behind the calls: nobody waits for it, so its waits do not hold the process. */
  readonly #background: Runtime = { ...this.#runtime, retryLoop: retryLoop({ ...systemClock, hold: systemClock.after }) }
  readonly #stalls = new StallMeter(systemClock)
  readonly #metrics = new GoldenMetrics(systemClock)
  #producer: ReturnType<typeof metricProducer> | undefined
  readonly #open = new Map<RouteTable, OpenService>()
  readonly #registrations = new Set<Registration>()
  #closed: Promise<void> | undefined

  constructor(config: MeshConfig) {
    this.#config = config
    this.name = config.name
    const routes = router({
      configured: new Set(config.services.keys()),
      implicit: (host) => config.implicitServices && isServiceName(host),
      make: (name) => this.#openService(name),
    })
    const parts = {
      runtime: this.#runtime,
      router: routes,
      connection: (table: RouteTable) => this.#connection(table),
      egress: (origin: string) => this.#metrics.egress(origin),
    }
    this.dispatcher = new MeshDispatcher({ ...parts, outside: presentDispatcher() })
    this.fetch = createFetch(this.dispatcher)
    this.request = createRequest(this.dispatcher)
    this.httpAgent = new MeshAgent({ ...parts, secure: false })
    this.httpsAgent = new MeshAgent({ ...parts, secure: true })
  }

  /** A service comes to be on its first call. */
  #openService(name: string): RouteTable {
    const config = this.#config.services.get(name) ?? this.#config.defaults
    const observer = observers([this.#metrics])
    const open = openService(name, config, {
      runtime: this.#runtime,
      background: this.#background,
      stalls: this.#stalls,
      observer,
    })
    this.#open.set(open.table, open)
    return open.table
  }

  #connection(table: RouteTable): ConnectionOptions {
    const { connectTimeoutMs, protocol, tls } = this.#open.get(table)?.config ?? this.#config.defaults
    return { connectTimeoutMs, h2c: protocol === 'h2c', allowH2: true, tls }
  }

  /**
   * Enters a server of this process in the machine's local registry as soon as it listens, where other processes of this user find it
   * by its service's name; withdraws it when the server or the mesh closes, or the process ends.
   *
   * @throws MeshError INMESH_CONFIG when neither `options.service` nor the mesh has a name; INMESH_DISCOVERY when the registry can't be written
   */
  announce(server: Server, options: AnnounceOptions = {}): Registration {
    const registration = announceServer(this.#runtime, server, options.service ?? this.name, options)
    this.#registrations.add(registration)
    return registration
  }

  /**
   * For any OpenTelemetry metric reader: `new PeriodicExportingMetricReader({ exporter, metricProducers: [mesh.metricProducer] })`.
   * Cumulative; see `createMetricProducer` for deltas.
   */
  get metricProducer(): ReturnType<typeof metricProducer> {
    this.#producer ??= this.createMetricProducer()
    return this.#producer
  }

  /** A producer of its own, for a reader that wants deltas, or for a second reader of deltas. */
  createMetricProducer(options?: Partial<MetricProducerOptions>): ReturnType<typeof metricProducer> {
    return metricProducer(this.#metrics, options)
  }

  /** The same numbers in Prometheus' text format, version 0.0.4. */
  prometheus(): string {
    return prometheusText(this.#metrics)
  }

  /** What this process has seen of the services it calls, as plain data. */
  stats(): MeshStats {
    return statsOf(this.#metrics, this.name)
  }

  /**
   * Withdraws what was announced, refuses new calls to services, finishes those in flight, then lets go of everything. Idempotent.
   * What is not ours (servers, the global dispatcher) is left alone.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    for (const registration of this.#registrations) registration.withdraw()
    await Promise.all([this.dispatcher.close(), this.httpAgent.close(), this.httpsAgent.close()])
    for (const open of this.#open.values()) {
      open.stop()
      this.#metrics.forget(open.table.service)
    }
    this.#stalls.stop()
  }
}
