import { type AddressInfo, isIP, Server } from 'node:net'
import { parseAuthority, readAddress } from '../../core/address.ts'
import type { Runtime } from '../../core/clock.ts'
import { MeshError } from '../../core/errors.ts'
import { anything, optionProblems, shown } from '../../core/options.ts'
import { runtimeDirectory } from '../../core/runtime-directory.ts'
import { isServiceName } from '../../core/service-name.ts'
import { type Announcement, announce, type Registration } from '../local.ts'
import { serviceDirectory } from './entry.ts'

export interface AnnounceOptions {
  /**
   * The name by which clients call it. Default: the mesh's own name. One label such as `voting`, which clients find without configuration, or a
   * host name with dots, which they find when it is configured under that name with `local()` discovery; without a port, and not `localhost`.
   */
  readonly service?: string
  /** Whatever clients may want to see. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Failure domain. */
  readonly zone?: string
  /** Share of calls in relation to other servers, above 0. Default: 1. */
  readonly weight?: number
}

/** Where a server listens that is no `net.Server`, as that of grpc-js. */
export interface ListeningAt {
  /** From 1 to 65535. */
  readonly port: number
  /** Default: 127.0.0.1. */
  readonly host?: string
}

/**
 * Registers a server in the machine's local registry as soon as it listens, and withdraws it when it closes. What is no `net.Server` is given
 * as `{ port, host }`: it is registered at once, and is its owner's to withdraw.
 *
 * One that proves who it is is registered once that is known, so that nobody calls it in plaintext meanwhile, and anew when it is somebody else.
 *
 * What fails only when the server begins to listen does not end the process: it is a warning with the code INMESH_DISCOVERY
 * (`process.on('warning')`), and the server goes on unannounced.
 *
 * @throws MeshError INMESH_CONFIG for a bad name or option, something that is no server, or one that listens on something that has no port;
 *   INMESH_DISCOVERY when the registry can't be used
 */
export function announceServer(
  runtime: Runtime,
  server: Server | ListeningAt,
  service: string,
  options: AnnounceOptions = {},
  identified?: Identified,
): ServerRegistration {
  const told = readTold(service, options)
  const at = server instanceof Server ? undefined : readListeningAt(server)
  const root = runtimeDirectory()
  if (serviceDirectory(root, service) === undefined) throw new MeshError('INMESH_CONFIG', `announce.service: expected ${A_NAME}`)
  const register = (identity?: string): Registration => {
    const { host, port } = at ?? tcpAddress(server as Server)
    return announce(runtime, { ...told, host, port, ...(identity === undefined ? {} : { identity }) })
  }
  // by the time that it is known, the server may be closing, and have no address any more
  const isOpen = () => at !== undefined || (server as Server).listening
  const announced = new Announced(register, identified && ((done) => identified((id) => isOpen() && done(id))))
  if (at === undefined) return announced.begin(server as Server)
  announced.register()
  return { entered: announced.entered, withdraw: () => announced.withdraw() }
}

/** A server's place in the registry, which it takes when it listens and it is known who it is. */
export interface ServerRegistration extends Registration {
  /** Resolves once callers can find the server. Never, if it doesn't come to that, which is a warning. */
  readonly entered: Promise<void>
}

/**
 * Calls back with the SPIFFE ID that the server proves, undefined for none, and again when it is another.
 *
 * @returns a function that stops
 */
export type Identified = (told: (id: string | undefined) => void) => () => void

/** The announcements of each server: one pair of listeners serves all of them. */
const byServer = new WeakMap<Server, Set<Announced>>()

/** One announcement of a server, from the call to its withdrawal. */
class Announced {
  readonly entered: Promise<void>
  readonly #register: (identity?: string) => Registration
  readonly #identified: Identified | undefined
  #registration: Registration | undefined
  /** Has nobody told of identities any more. */
  #stop: (() => void) | undefined
  #tell: () => void = () => {}

  constructor(register: (identity?: string) => Registration, identified: Identified | undefined) {
    this.#register = register
    this.#identified = identified
    this.entered = new Promise((resolve) => {
      this.#tell = resolve
    })
  }

  /** Registers it now if the server listens, else later. */
  begin(server: Server): ServerRegistration {
    if (server.listening) this.register()
    const all = byServer.get(server) ?? watchServer(server)
    all.add(this)
    return {
      entered: this.entered,
      withdraw: () => {
        this.withdraw()
        if (all.delete(this) && all.size === 0) unwatchServer(server)
      },
    }
  }

  register(): void {
    if (this.#identified === undefined) {
      this.#registration ??= this.#register()
      this.#tell()
    } else this.#stop ??= this.#identified((id) => this.#identifiedAs(id))
  }

  #identifiedAs(id: string | undefined): void {
    try {
      this.#registration?.withdraw()
      this.#registration = undefined
      this.#registration = this.#register(id)
      this.#tell()
    } catch (error) {
      warn(error as Error)
    }
  }

  withdraw(): void {
    this.#stop?.()
    this.#stop = undefined
    this.#registration?.withdraw()
    this.#registration = undefined
  }
}

function watchServer(server: Server): Set<Announced> {
  const all = new Set<Announced>()
  byServer.set(server, all)
  server.on('listening', registerAll).on('close', withdrawAll)
  return all
}

function unwatchServer(server: Server): void {
  byServer.delete(server)
  server.off('listening', registerAll).off('close', withdrawAll)
}

/** Nobody could catch what is thrown here: it would end a server that works. */
function registerAll(this: Server): void {
  for (const announced of byServer.get(this) ?? []) {
    try {
      announced.register()
    } catch (error) {
      warn(error as Error)
    }
  }
}

function warn({ message }: Error): void {
  process.emitWarning(message, { type: 'MeshWarning', code: 'INMESH_DISCOVERY' })
}

function withdrawAll(this: Server): void {
  const all = byServer.get(this)
  unwatchServer(this)
  for (const announced of all ?? []) announced.withdraw()
  all?.clear()
}

type Told = Omit<Announcement, 'host' | 'port'>

function readTold(service: string, options: AnnounceOptions): Told {
  const problems = optionProblems('announce', options, {
    service: anything,
    metadata: anything,
    zone: anything,
    weight: anything,
  })
  const { service: _, ...rest } = problems.length === 0 ? options : {}
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
  if (!isAnnounceable(service)) problems.push(`announce.service: expected ${A_NAME}, got ${shown(service)}${hint(service)}`)
  readAddress('announce', { ...given, host: '127.0.0.1', port: 1 }, problems)
  if (problems.length > 0) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return { ...given, service }
}

const A_NAME = 'a name such as "voting" or a host name with dots, without a port, at most 240 letters'

function hint(service: unknown): string {
  return service === '' ? ' (set it, or name the mesh)' : ''
}

/** Whether clients can call a server by it: a host, and not one that means something else to everybody. */
export function isAnnounceable(service: unknown): boolean {
  const { host, port } = (typeof service === 'string' ? parseAuthority(service) : undefined) ?? {}
  if (host === undefined || port !== undefined || isIP(host) !== 0) return false
  return isServiceName(host) || (host.includes('.') && !/(^|\.)localhost\.?$|\.$/.test(host))
}

function readListeningAt(given: unknown): Required<ListeningAt> {
  if (typeof given !== 'object' || given === null || !('port' in given)) {
    throw new MeshError('INMESH_CONFIG', `announce: expected a server, got ${shown(given)} (a net.Server, or { port, host })`)
  }
  const problems = optionProblems('announce', given, { port: anything, host: anything })
  const { port, host = '127.0.0.1' } = given as ListeningAt
  const address = problems.length === 0 ? readAddress('announce', { port, host }, problems) : undefined
  if (address === undefined) throw new MeshError('INMESH_CONFIG', problems.join('\n'))
  return { port: address.port, host: address.host }
}

function tcpAddress(server: Server): { host: string; port: number } {
  const address: AddressInfo | string | null = server.address()
  if (address !== null && typeof address === 'object') return { host: address.address, port: address.port }
  throw new MeshError('INMESH_CONFIG', `announce: expected a server with a TCP port, got ${address === null ? 'none' : address}`)
}
