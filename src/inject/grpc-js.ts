import { subscribe } from 'node:diagnostics_channel'
import { createRequire } from 'node:module'
import type { Server as NetServer } from 'node:net'
import { sep } from 'node:path'
import { grpcChannelClass, unaskedGrpcServer } from '../grpc-doors.ts'
import type { Mesh } from '../mesh.ts'
import { eachHttp2Server } from '../server/grpc-inside.ts'
import { isOurInterceptor } from '../server/grpc-interceptor-mark.ts'
import { warnOnce } from './warn-once.ts'

/**
 * Meshes grpc-js as the application loads it, by `require` or `import`; an application that does not load it does not get it. Node tells of every module
 * that another has required, so nothing of how modules are found or loaded is touched: of grpc-js's own modules, the two that define channels and servers get
 * another class in place of theirs before the package hands it out.
 *
 * - `new Channel()`, which every client makes for itself, and nice-grpc by name, is one of ours where the target is a service. Whoever extends
 *   `Channel`, or gives a client a channel or a `channelFactoryOverride` of its own, is left alone.
 * - `new Server()` gets our interceptor as its first, unless it was given one of ours.
 *
 * Where this package would find another copy of grpc-js than the application's, that copy stays unmeshed, with a warning: classes of two copies do not
 * mix. So do copies in a bundle, which nobody requires, and those loaded by a loader that brings CommonJS of its own to an `import`.
 *
 * @param listensWith is told of the servers of Node that one of grpc-js listens with
 */
export function meshGrpc(mesh: Mesh, listensWith: (server: NetServer) => void): void {
  subscribe('tracing:module.require:end', (message) => {
    const { parentFilename, result } = message as Required
    if (typeof parentFilename !== 'string' || !parentFilename.includes(IN_GRPC) || !isObject(result)) return
    try {
      const { ChannelImplementation: channel, Server: server } = result
      const isChannels = typeof channel === 'function' && !ours.has(channel)
      const isServers = typeof server === 'function' && !ours.has(server) && typeof server.prototype?.bindAsync === 'function'
      if ((!isChannels && !isServers) || !isOurCopy(parentFilename)) return
      if (isChannels) result.ChannelImplementation = meshedChannels(mesh, channel)
      if (isServers) result.Server = meshedServers(mesh, server, listensWith)
    } catch (error) {
      warnOnce('grpc-js is not meshed', error)
    }
  })
}

/** What Node says of a `require` that is over. */
interface Required {
  readonly parentFilename?: string
  readonly result?: unknown
}

type Class = (abstract new (...args: never[]) => object) & { readonly prototype: { bindAsync?: unknown } | undefined }

interface GrpcModule {
  ChannelImplementation?: Class
  Server?: Class
}

const IN_GRPC = `${sep}@grpc${sep}grpc-js${sep}`

/** The classes that stand in for grpc-js's. */
const ours = new WeakSet<object>()

function isObject(value: unknown): value is GrpcModule {
  return typeof value === 'object' && value !== null
}

/** Whether it is the copy that our own doors get. */
function isOurCopy(filename: string): boolean {
  let own: string
  try {
    own = createRequire(import.meta.url).resolve('@grpc/grpc-js')
  } catch {
    warnOnce('grpc-js is not meshed', `inmesh does not find it from its own place; the application's is ${packageOf(filename)}`)
    return false
  }
  if (packageOf(own) === packageOf(filename)) return true
  warnOnce('grpc-js is not meshed', `the application has ${packageOf(filename)}, inmesh gets ${packageOf(own)}`)
  return false
}

function packageOf(filename: string): string {
  return filename.slice(0, filename.lastIndexOf(IN_GRPC) + IN_GRPC.length - 1)
}

// === clients

function meshedChannels(mesh: Mesh, own: Class): Class {
  const meshed: Class = new Proxy(own, {
    construct(target, args, newTarget) {
      const make = () => Reflect.construct(target, args, newTarget === meshed ? target : newTarget) as object
      return newTarget === meshed ? meshedChannel(mesh, meshed, args, make) : make()
    },
  })
  ours.add(meshed)
  return meshed
}

type ChannelArguments = Parameters<ReturnType<Mesh['grpc']>['channelFactoryOverride']>

/** What is wrong with the arguments is grpc-js's to say; if it finds nothing, the fault is ours. */
function meshedChannel(mesh: Mesh, channels: Class, args: readonly unknown[], make: () => object): object {
  try {
    if (!isObject(args[2]) || !isSharedWith(channels)) return make()
    return mesh.grpc().channelFactoryOverride(...(args as ChannelArguments))
  } catch (error) {
    const channel = make()
    warnOnce('a channel of grpc-js is not meshed', error)
    return channel
  }
}

/** Of one copy, an application may load two: one of them is the one that our doors have. */
function isSharedWith(channels: Class): boolean {
  if (grpcChannelClass() === channels) return true
  warnOnce('grpc-js is not meshed', 'the application has loaded it twice, or by a loader that keeps it apart')
  return false
}

// === servers

interface ServerOptions {
  readonly interceptors?: readonly unknown[]
}

type GrpcServer = Parameters<Mesh['watchGrpc']>[0]

function meshedServers(mesh: Mesh, own: Class, listensWith: (server: NetServer) => void): Class {
  const meshed: Class = new Proxy(own, {
    construct(target, [options, ...rest], newTarget) {
      const better = interceptedOptions(mesh, options)
      const server = Reflect.construct(target, [better, ...rest], newTarget === meshed ? target : newTarget) as GrpcServer
      if (better !== options) watch(mesh, server, listensWith)
      return server
    },
  })
  ours.add(meshed)
  return meshed
}

/** The same options when there is nothing to do. */
function interceptedOptions(mesh: Mesh, options: ServerOptions | undefined): ServerOptions | undefined {
  const given = options?.interceptors ?? []
  const isOdd = (options !== undefined && !isObject(options)) || !Array.isArray(given)
  if (isOdd || given.some(isOurInterceptor)) return options
  try {
    return { ...options, interceptors: [unaskedGrpcServer(mesh.inbound), ...given] }
  } catch (error) {
    warnOnce('a server of grpc-js is not meshed', error)
    return options
  }
}

function watch(mesh: Mesh, server: GrpcServer, listensWith: (server: NetServer) => void): void {
  try {
    mesh.watchGrpc(server)
    eachHttp2Server(server, listensWith)
  } catch (error) {
    warnOnce('a server of grpc-js is not meshed', error)
  }
}
