import type { Server } from 'node:net'
import { http, https } from '../intercept/node-http.ts'
import type { Mesh } from '../mesh.ts'
import type { InjectOptions } from './environment.ts'
import type { ServerListener } from './server-events.ts'

/**
 * Takes every server of HTTP into the drain while it listens, and announces those that are to be. What is announced is secured, unless it was made for
 * TLS: on its port, callers by TLS are told who this process is, and those in plaintext are served as before.
 */
export class ListeningServers implements ServerListener {
  readonly #mesh: Mesh
  readonly #announces: InjectOptions['announces']
  /** What to take back when a server closes. */
  readonly #open = new WeakMap<Server, readonly (() => void)[]>()
  /** Those that a server of grpc-js listens with, and drains by itself. */
  readonly #ofGrpc = new WeakSet<Server>()

  constructor(mesh: Mesh, announces: InjectOptions['announces']) {
    this.#mesh = mesh
    this.#announces = announces
  }

  belongsToGrpc(server: Server): void {
    this.#ofGrpc.add(server)
  }

  listening(server: Server): void {
    if (!speaksHttp(server) || this.#open.has(server)) return
    const undo: (() => void)[] = []
    this.#open.set(server, undo)
    if (!this.#ofGrpc.has(server)) undo.push(this.#mesh.watch(server))
    const address = server.address()
    if (address === null || typeof address === 'string' || !this.#announces(address.port)) return
    const registration = this.#mesh.announce(server)
    undo.push(() => registration.withdraw())
    // announcing took it into the drain, too
    if (this.#ofGrpc.has(server)) this.#mesh.watch(server)()
  }

  closed(server: Server): void {
    const undo = this.#open.get(server) ?? []
    this.#open.delete(server)
    for (const fn of undo) fn()
  }
}

/** Servers of HTTP/2 have no class that can be had without making one. */
function speaksHttp(server: Server): boolean {
  return server instanceof http.Server || server instanceof https.Server || 'updateSettings' in server
}
