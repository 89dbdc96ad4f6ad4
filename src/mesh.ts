import { Server } from 'node:net'
import { type MeshConfig, type MeshOptions, readConfig } from './config.ts'
import { type Runtime, systemClock, systemRandom } from './core/clock.ts'
import type { RouteTable } from './core/route.ts'
import { isServiceName } from './core/service-name.ts'
import { StallMeter } from './core/stall.ts'
import type { Registration } from './discovery/local.ts'
import {
  type AnnounceOptions,
  announceServer,
  type ListeningAt,
  type ServerRegistration,
} from './discovery/registry/announce-server.ts'
import {
  countUnknownMethods,
  type GrpcOptions,
  type GrpcServer,
  grpcClient,
  grpcClientInterceptor,
  grpcDoor,
  grpcServer,
  type MeshedGrpcOptions,
} from './grpc-doors.ts'
import { closedError } from './intercept/call-errors.ts'
import type { DoorParts } from './intercept/door-parts.ts'
import type { GrpcDoor } from './intercept/grpc/door.ts'
import { MeshAgent } from './intercept/http/agent.ts'
import { MeshDispatcher } from './intercept/undici/dispatcher.ts'
import { createFetch } from './intercept/undici/fetch.ts'
import { presentDispatcher } from './intercept/undici/global.ts'
import { createRequest, type MeshRequest } from './intercept/undici/request.ts'
import { type ListenOptions, type MeshIdentity, MeshSecurity, nothingSecured } from './mesh-security.ts'
import { OpenServices } from './open-services.ts'
import { retryLoop } from './resilience/retry-loop.ts'
import { matcher } from './routing/match.ts'
import { matchProblems } from './routing/match-problems.ts'
import { byPrecedence } from './routing/route-table.ts'
import { router } from './routing/router.ts'
import { Drain } from './server/drain.ts'
import { Reception } from './server/reception.ts'
import { identityOf, securityOf } from './server/secure-connection.ts'
import type { SecureServerOptions } from './server/secure-server.ts'
import { GoldenMetrics } from './telemetry/golden-metrics.ts'
import { type MetricProducerOptions, metricProducer } from './telemetry/metric-producer.ts'
import { prometheusText } from './telemetry/prometheus.ts'
import { type MeshStats, statsOf } from './telemetry/stats.ts'

/**
 * THE MAIN PATH. What a call passes through, in this order, and why each stands where it does:
 *
 * 1. intercept: a door takes the call as its library made it (undici, fetch, node:http, grpc-js) and asks
 * 2. routing:   whose call is it? not ours -> passed through untouched; ours -> a route: a service, timeouts, a retry policy
 * 3. service breaker (off by default): refuses before anything is spent on the call
 * 4. retry budget: the call pays in, whatever becomes of it
 * 5. total timeout: above the attempts, since it bounds them all
 * 6. discovery: keeps the service's endpoints; a call waits up to 3 s for the first
 * 7. balancer:  picks one of the ready ones; below retries and hedges, so that each attempt picks anew
 * 8. endpoint breaker: admits; below the balancer, since it judges one endpoint
 * 9. attempt:   per-try timeout, load meter, in-flight count; ends exactly once with one verdict that all of the above read
 * 10. transport: the endpoint's connections, by mutual TLS where it is known whom to expect there
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
  /** Where requests to this process are received: what `inmeshHttp`, `inmeshExpress` and `inmeshFastify` take as `{ mesh }`. */
  readonly inbound: Reception
  readonly #config: MeshConfig
  readonly #runtime: Runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  /** For what goes on behind the calls: nobody waits for it, so its waits do not hold the process. */
  readonly #background: Runtime = { ...this.#runtime, retryLoop: retryLoop({ ...systemClock, hold: systemClock.after }) }
  readonly #stalls = new StallMeter(systemClock)
  readonly #metrics = new GoldenMetrics(systemClock)
  #producer: ReturnType<typeof metricProducer> | undefined
  readonly #services: OpenServices
  readonly #registrations = new Set<Registration>()
  readonly #drain: Drain
  readonly #parts: DoorParts
  /** Undefined when nothing is to be secured. */
  readonly #security: MeshSecurity | undefined
  #grpc: GrpcDoor | undefined
  #closed: Promise<void> | undefined

  constructor(config: MeshConfig) {
    this.#config = config
    this.name = config.name
    this.#security = MeshSecurity.of(config, this.#background, this.#metrics.tls)
    const shared = { runtime: this.#runtime, background: this.#background, stalls: this.#stalls }
    this.#services = new OpenServices(config, shared, this.#metrics, this.#security)
    const routes = router({
      configured: new Set(config.services.keys()),
      implicit: (host) => config.implicitServices && isServiceName(host),
      make: (name) => this.#services.open(name),
      forget: (table) => this.#services.forget(table),
    })
    const parts = {
      name: config.name,
      runtime: this.#runtime,
      router: routes,
      connection: (table: RouteTable) => this.#services.connection(table),
      egress: (origin: string) => this.#metrics.egress(origin),
    }
    this.#parts = parts
    this.dispatcher = new MeshDispatcher({ ...parts, outside: presentDispatcher() })
    this.fetch = createFetch(this.dispatcher)
    this.request = createRequest(this.dispatcher)
    this.httpAgent = new MeshAgent({ ...parts, secure: false })
    this.httpsAgent = new MeshAgent({ ...parts, secure: true })
    const serving = { name: this.name, runtime: this.#runtime, observer: this.#metrics.inbound, matching: MATCHING }
    const security = this.#security
    const trustDomain = security && (() => security.trustDomain)
    this.inbound = new Reception({ ...serving, identityOf, securityOf, trustDomain }, config.inbound)
    this.#drain = new Drain(this.inbound, config.drain)
  }

  /**
   * Enters a server of this process in the machine's local registry as soon as it listens, where other processes of this user find it
   * by its service's name; withdraws it when the server or the mesh closes, or the process ends. What is not a server of Node's (grpc-js) is given
   * as `{ port, host }`, once it listens.
   *
   * @throws MeshError INMESH_CONFIG when neither `options.service` nor the mesh has a name; INMESH_DISCOVERY when the registry can't be written
   */
  announce(server: Server | ListeningAt, options: AnnounceOptions = {}): ServerRegistration {
    if (this.#closed !== undefined) throw closedError('mesh is closed')
    const { zone } = this.#config
    const given = zone === undefined ? options : { zone, ...options }
    const security = this.#security
    if (server instanceof Server) security?.secureAnnounced(server)
    const identified = security?.identified(server)
    const entered = announceServer(this.#runtime, server, given?.service ?? this.name, given, identified)
    const withdraw = () => {
      this.#registrations.delete(registration)
      entered.withdraw()
    }
    const registration = { withdraw, entered: entered.entered }
    this.#registrations.add(registration)
    if (server instanceof Server) this.#drain.watch(server)
    return registration
  }

  /**
   * Has a server of Node's (http, https, http2; Fastify's and Express's are one) prove this process's identity, on the port that it has or will get: callers by TLS and in
   * plaintext are served alike, unless it is strict. `announce` does it for servers in the clear. One that was made for TLS serves TLS alone then, by the mesh's
   * certificates.
   *
   * @throws MeshError INMESH_CONFIG for a server that is secured already, or when this mesh has no identity
   */
  secure<T extends Server>(server: T, options?: SecureServerOptions): T {
    if (this.#security === undefined) throw nothingSecured('secure')
    this.#security.secure(server, options)
    return server
  }

  /**
   * Listens as `secure` says, with a server of Node's or of grpc-js; for the latter in place of `bindAsync`. To be found, it is announced: `mesh.announce(server)`,
   * `mesh.announce({ port })`.
   *
   * @returns the port, once it listens
   * @throws (rejects) the system's error when the port can't be had; MeshError INMESH_CONFIG when this mesh has no identity
   */
  async listen(server: Server | GrpcServer, options: number | ListenOptions): Promise<number> {
    if (this.#security === undefined) throw nothingSecured('listen')
    return this.#security.listen(server, typeof options === 'number' ? { port: options } : options)
  }

  /**
   * Client options of grpc-js: `new VotingClient('voting:8080', credentials, mesh.grpc())`. Generated clients stay as they are.
   *
   * @throws MeshError INMESH_CONFIG; Error ERR_MODULE_NOT_FOUND when @grpc/grpc-js is not installed
   */
  grpc(options?: GrpcOptions): MeshedGrpcOptions {
    this.#grpc ??= grpcDoor(this.#parts)
    return grpcClient(this.#grpc, options as never) as unknown as MeshedGrpcOptions
  }

  /**
   * For clients of grpc-js that can be given an interceptor and nothing else: counts, bounds and cancels, but can't choose endpoints, secure connections or send again.
   *
   * @param service the service that the client calls: `voting`
   * @throws Error ERR_MODULE_NOT_FOUND when @grpc/grpc-js is not installed
   */
  grpcInterceptor(service: string): never {
    return grpcClientInterceptor(this.#parts, service) as never
  }

  /**
   * The server's side for grpc-js: `new grpc.Server({ interceptors: [mesh.grpcServer()] })`.
   *
   * @throws Error ERR_MODULE_NOT_FOUND when @grpc/grpc-js is not installed
   */
  grpcServer(): never {
    return grpcServer(this.inbound) as never
  }

  /**
   * Takes a server of grpc-js into `drain()`, and has the calls of methods that it does not know counted; servers of Node are taken in when they are
   * announced. Once all services were added.
   */
  watchGrpc(server: GrpcServer): void {
    this.#drain.watch(server)
    countUnknownMethods(this.inbound, server)
  }

  /**
   * Takes a server of Node's into `drain()` without announcing it. Best before it listens.
   *
   * @returns a function that takes it out again
   */
  watch(server: Server): () => void {
    return this.#drain.watch(server)
  }

  /**
   * Takes leave without a failed request: withdraws what was announced, tells callers on every answer, and after a notice stops the announced
   * servers; waits for what is in flight. The mesh itself stays open for calls. A second call joins the first.
   *
   * @returns how many requests were cut off after the grace time
   */
  drain(): Promise<number> {
    for (const registration of this.#registrations) registration.withdraw()
    return this.#drain.drain()
  }

  /** Who this process is, and until when (milliseconds since 1970). Undefined while it has no valid identity; the first time, it is asked for. */
  get identity(): MeshIdentity | undefined {
    return this.#security?.identity
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
   *
   * @param options.drainMs how long calls in flight may take to finish, in milliseconds; then they fail. Default 10000
   */
  close({ drainMs = 10_000 }: { readonly drainMs?: number } = {}): Promise<void> {
    this.#closed ??= this.#close(drainMs)
    return this.#closed
  }

  /** What is in flight has had its time. */
  #destroy(): void {
    this.dispatcher.destroy()
    this.httpAgent.destroy()
    this.httpsAgent.destroy()
    this.#grpc?.destroy()
  }

  async #close(drainMs: number): Promise<void> {
    for (const registration of this.#registrations) registration.withdraw()
    const late = this.#runtime.clock.hold(drainMs, () => this.#destroy())
    await Promise.all([this.dispatcher.close(), this.httpAgent.close(), this.httpsAgent.close(), this.#grpc?.close()])
    late.cancel()
    this.#services.stop()
    this.#stalls.stop()
    this.#security?.close()
  }
}

/** What the server's side, which may not import it, is given of routing. */
const MATCHING = { problems: matchProblems, compile: matcher, byPrecedence }
