import { createRequire } from 'node:module'
import type { DoorParts } from './intercept/door-parts.ts'
import type { GrpcClientOptions, MeshClientOptions } from './intercept/grpc/client-options.ts'
import type { GrpcDoor } from './intercept/grpc/door.ts'
import type { GrpcAddress } from './server/grpc-listen.ts'
import type { Reception } from './server/reception.ts'
import type { Security } from './server/secure-listener.ts'

/** Sources run as they are in development. */
const EXTENSION = import.meta.url.endsWith('.ts') ? '.ts' : '.js'
const load = createRequire(import.meta.url)

/**
 * The doors for grpc-js, which is an optional peer: its modules are loaded with the first client or server that asks, and not before.
 *
 * @throws Error ERR_MODULE_NOT_FOUND when @grpc/grpc-js is not installed
 */
export function grpcDoor(parts: DoorParts): GrpcDoor {
  const module = load(`./intercept/grpc/door${EXTENSION}`) as typeof import('./intercept/grpc/door.ts')
  return new module.GrpcDoor(parts)
}

/** What our doors get as grpc-js's `Channel`, by which one tells whether they have the application's copy of it. */
export function grpcChannelClass(): object {
  const module = load(`./intercept/grpc/outside-channel${EXTENSION}`) as typeof import('./intercept/grpc/outside-channel.ts')
  return Object.getPrototypeOf(module.OutsideChannel) as object
}

/** See `Mesh.grpc`. */
export function grpcClient(door: GrpcDoor, options: Partial<GrpcClientOptions> | undefined): MeshClientOptions {
  const module = load(`./intercept/grpc/client-options${EXTENSION}`) as typeof import('./intercept/grpc/client-options.ts')
  return module.grpcClientOptions(door, options)
}

/** See `Mesh.grpcInterceptor`. */
export function grpcClientInterceptor(parts: DoorParts, service: string): unknown {
  const module = load(`./intercept/grpc/interceptor${EXTENSION}`) as typeof import('./intercept/grpc/interceptor.ts')
  return module.grpcInterceptor(parts, service)
}

/** See `Mesh.watchGrpc`. */
export function countUnknownMethods(reception: Reception, server: object): void {
  const module = load(`./server/grpc-unknown-methods${EXTENSION}`) as typeof import('./server/grpc-unknown-methods.ts')
  module.countUnknownMethods(reception, server)
}

/** See `Mesh.grpcServer`. */
export function grpcServer(reception: Reception): unknown {
  const module = load(`./server/grpc${EXTENSION}`) as typeof import('./server/grpc.ts')
  return module.grpcServerInterceptor(reception)
}

/** For servers of an application that did not ask for it. */
export function unaskedGrpcServer(reception: Reception): unknown {
  const module = load(`./server/grpc${EXTENSION}`) as typeof import('./server/grpc.ts')
  return module.unaskedGrpcInterceptor(reception)
}

/** See `Mesh.listen`. */
export function listenGrpc(security: Security, server: object, options: GrpcAddress): Promise<number> {
  const module = load(`./server/grpc-listen${EXTENSION}`) as typeof import('./server/grpc-listen.ts')
  return module.listenGrpc(security, server as never, options)
}

/** How `mesh.grpc()` is asked. */
export interface GrpcOptions {
  /** The methods that may be sent twice: paths such as `/emoji.Voting/Results`, service definitions, or a function that knows. Default: none. */
  readonly idempotent?: readonly (string | object)[] | ((path: string) => boolean)
}

/** A server of grpc-js, typed without it. */
export interface GrpcServer {
  tryShutdown(done: (error?: Error) => void): void
  forceShutdown(): void
}

/** Client options of grpc-js, typed without it: it need not be installed. */
export interface MeshedGrpcOptions {
  readonly channelFactoryOverride: (target: string, credentials: object, options?: object) => never
}
