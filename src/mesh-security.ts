import type { AddressInfo, Server as NetServer } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import type { MeshConfig } from './config.ts'
import type { Runtime } from './core/clock.ts'
import { MeshError } from './core/errors.ts'
import type { IdentitySourceFactory } from './core/identity.ts'
import { bothTlsObservers, type TlsObserver } from './core/tls-observer.ts'
import { type GrpcServer, listenGrpc } from './grpc-doors.ts'
import type { MtlsOptions } from './mtls-options.ts'
import { Security, type TlsMode } from './server/secure-listener.ts'
import { type AnyHttpServer, type SecureServerOptions, secureServer } from './server/secure-server.ts'
import type { ServiceConfig } from './service-config.ts'
import { TlsLog } from './telemetry/tls-log.ts'
import { Keyring } from './tls/keyring.ts'
import { watchRevocationFiles } from './tls/revocation-files.ts'
import { Revocations } from './tls/revocations.ts'
import { parseSpiffeId } from './tls/spiffe-id.ts'
import type { MeshTls } from './transport/mesh-tls.ts'

/** Where a secured server is to listen. */
export interface ListenOptions {
  /** 0 takes any that is free. */
  readonly port: number
  /** Default: every address of the machine. */
  readonly host?: string
  /** Default: the mesh's. */
  readonly mode?: TlsMode
}

/** Who a process is. */
export interface MeshIdentity {
  /** The SPIFFE ID that its certificate names. */
  readonly id: string
  /** When it ceases to be valid, in milliseconds since 1970, unless a newer one takes its place. */
  readonly notAfter: number
}

/**
 * What secures a mesh's connections, both ways: one identity, and whoever is believed. Nothing is asked for and nothing is loaded until a server is secured, or an
 * endpoint is called that has an identity.
 */
export class MeshSecurity {
  readonly #keyring: Keyring
  readonly #security: Security
  readonly #runtime: Runtime
  #stopLists: (() => void) | undefined
  readonly #secured = new WeakSet<NetServer>()
  /** Of grpc-js's servers, which are announced by their ports. */
  readonly #ports = new Set<number>()

  /** @returns undefined when nothing is to be secured */
  static of(config: MeshConfig, runtime: Runtime, observer: TlsObserver): MeshSecurity | undefined {
    const watched = bothTlsObservers(observer, new TlsLog(runtime.clock))
    return config.identity && new MeshSecurity(config.identity, config.mtls, runtime, watched)
  }

  /** @throws MeshError INMESH_IDENTITY when a file of revocation lists can't be read */
  constructor(
    source: IdentitySourceFactory,
    { mode, crlFiles = [], revocations = new Revocations(), ...others }: MtlsOptions,
    runtime: Runtime,
    observer: TlsObserver,
  ) {
    this.#runtime = runtime
    this.#keyring = new Keyring({ runtime, source, observer, verifier: { revocations, ...others } })
    if (crlFiles.length > 0)
      this.#stopLists = watchRevocationFiles(runtime, crlFiles, revocations, ({ message }) => warn(message))
    this.#security = new Security({ keyring: this.#keyring, clock: runtime.clock, ...(mode === undefined ? {} : { mode }) })
  }

  /** Who this process is now; undefined while it has no identity that is valid. */
  get identity(): MeshIdentity | undefined {
    const identity = this.#keyring.identity
    return identity && { id: identity.id, notAfter: identity.notAfter }
  }

  /** Of this process's identity; undefined while it has none that is valid. */
  get trustDomain(): string | undefined {
    const id = this.#keyring.identity?.id
    return id && parseSpiffeId(id).trustDomain
  }

  /** How the connections to a service's endpoints are secured. */
  tlsOf(service: string, { mtls }: ServiceConfig): MeshTls {
    return { keyring: this.#keyring, runtime: this.#runtime, service, strict: mtls.strict, allowed: mtls.identities }
  }

  /** See `Mesh.secure`. */
  secure(server: AnyHttpServer, options?: SecureServerOptions): void {
    secureServer(this.#security, server, options)
    this.#secured.add(server)
  }

  /** As `secure`, for a server that is announced: one that was made for TLS has certificates of its own, which its callers expect. */
  secureAnnounced(server: NetServer): void {
    if (!this.#secured.has(server) && !(server instanceof TlsServer) && speaksHttp(server)) this.secure(server)
  }

  /** See `Mesh.listen`. */
  listen(server: NetServer | GrpcServer, at: ListenOptions): Promise<number> {
    if (!('listen' in server)) return this.#listenGrpc(server, at)
    if (!this.#secured.has(server)) this.secure(server, at.mode === undefined ? {} : { mode: at.mode })
    return listening(server, at)
  }

  async #listenGrpc(server: GrpcServer, at: ListenOptions): Promise<number> {
    const port = await listenGrpc(this.#security, server, at)
    this.#ports.add(port)
    return port
  }

  /** How the registry learns whom callers must expect at a server; undefined when nobody proves anything there, which is a warning where callers must. */
  identified(
    server: NetServer | { readonly port: number },
  ): ((told: (id: string | undefined) => void) => () => void) | undefined {
    const isSecured = 'listen' in server ? this.#secured.has(server) : this.#ports.has(server.port)
    if (isSecured) return (told) => this.#whenIdentified(told)
    if (this.#security.mode === 'strict') warn(UNSECURED)
    return undefined
  }

  /**
   * Calls `told` with this process's SPIFFE ID as soon as it is known, or with undefined when there is none, which is a warning; and again when there is another: a
   * source that was late must not leave a server in plaintext for ever.
   *
   * @returns a function that stops
   */
  #whenIdentified(told: (id: string | undefined) => void): () => void {
    let last: string | undefined
    let stopped = false
    const tell = (id: string | undefined) => {
      if (stopped) return
      last = id
      told(id)
    }
    const giveUp = this.#keyring.whenPresent((update) => {
      if ('identity' in update) return tell(update.identity.id)
      warn(`announced without an identity, so callers come in plaintext: ${update.error.message}`)
      tell(undefined)
    })
    const forget = this.#keyring.onChange(() => {
      const id = this.#keyring.identity?.id
      if (id !== undefined && id !== last) tell(id)
    })
    return () => {
      stopped = true
      giveUp()
      forget()
    }
  }

  close(): void {
    this.#stopLists?.()
    this.#security.close()
    this.#keyring.close()
  }
}

function listening(server: NetServer, { port, host }: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

const UNSECURED =
  'announced and not secured, so whoever calls there need prove nothing, though mtls.mode is strict: have it listen through mesh.listen, or secure it by mesh.secure'

function warn(message: string): void {
  process.emitWarning(message, { type: 'MeshWarning', code: 'INMESH_IDENTITY' })
}

/** There is nothing to secure with. */
export function nothingSecured(what: string): MeshError {
  return new MeshError('INMESH_CONFIG', `${what}: this mesh has no identity: leave its option identity: 'off' out`)
}

/** Servers of HTTP/2 have no class that can be had without making one. */
function speaksHttp(server: NetServer): boolean {
  return 'keepAliveTimeout' in server || 'updateSettings' in server
}
