import type { MeshConfig } from './config.ts'
import type { Observer } from './core/observer.ts'
import type { RouteTable } from './core/route.ts'
import type { Service } from './core/service.ts'
import type { MeshSecurity } from './mesh-security.ts'
import { type OpenService, openService, type Shared } from './open-service.ts'
import type { ConnectionOptions } from './transport/connector.ts'

/** Who looks on at services, and is told when one is gone for good. */
export interface ServiceObserver extends Observer {
  forget(service: Service): void
}

/** The services of a mesh that somebody has called. */
export class OpenServices {
  readonly #config: MeshConfig
  readonly #shared: Shared
  readonly #observer: ServiceObserver
  readonly #security: MeshSecurity | undefined
  readonly #open = new Map<RouteTable, OpenService>()

  /** @param security undefined when nothing is to be secured */
  constructor(
    config: MeshConfig,
    shared: Omit<Shared, 'observer' | 'secured'>,
    observer: ServiceObserver,
    security: MeshSecurity | undefined,
  ) {
    this.#config = config
    this.#shared = { ...shared, observer, secured: security !== undefined }
    this.#observer = observer
    this.#security = security
  }

  /** A service comes to be on its first call. */
  open(name: string): RouteTable {
    const open = openService(name, this.#config.services.get(name) ?? this.#config.defaults, this.#shared)
    this.#open.set(open.table, open)
    return open.table
  }

  /** A service that nobody was found for makes room for others. */
  forget(table: RouteTable): void {
    const open = this.#open.get(table)
    this.#open.delete(table)
    open?.stop()
    this.#observer.forget(table.service)
  }

  /** How to connect to its endpoints. */
  connection(table: RouteTable): ConnectionOptions {
    const config = this.#open.get(table)?.config ?? this.#config.defaults
    const { connectTimeoutMs, protocol, tls } = config
    const identity = this.#security?.tlsOf(table.service.name, config)
    return { connectTimeoutMs, h2c: protocol === 'h2c', allowH2: true, tls, identity }
  }

  /** Lets go of them all. */
  stop(): void {
    for (const open of this.#open.values()) {
      open.stop()
      this.#observer.forget(open.table.service)
    }
  }
}
