import type { ChannelCredentials, ChannelInterface, ClientOptions, ServiceDefinition } from '@grpc/grpc-js'
import { type OptionCheck, readOptions } from '../../core/options.ts'
import type { GrpcDoor } from './door.ts'

/** How a meshed client is made. */
export interface GrpcClientOptions {
  /**
   * The methods that may be sent twice: paths such as `/emoji.Voting/Results`, service definitions whose proto says so by `idempotency_level`
   * (loaded by proto-loader), or a function that knows. Default: none. A single call can say it by `new Metadata({ idempotentRequest: true })`.
   */
  readonly idempotent: Idempotent
}

export type Idempotent = readonly (string | ServiceDefinition)[] | ((path: string) => boolean)

/** What a client's constructor takes, and nice-grpc's `createClient` by way of the factory: it makes a channel by hand. */
export interface MeshClientOptions extends ClientOptions {
  readonly channelFactoryOverride: (target: string, credentials: ChannelCredentials, options?: ClientOptions) => ChannelInterface
}

/**
 * The options that put a grpc-js client on the mesh: `new VotingClient('voting:8080', credentials, { ...options, ...yours })`.
 *
 * Credentials, interceptors and channel options are the client's own and mean what they always do, but for retries: those of a service
 * config are off, since the route's policy sends again. A client whose target is not ours is what it would be without.
 *
 * @throws MeshError INMESH_CONFIG
 */
export function grpcClientOptions(door: GrpcDoor, options?: Partial<GrpcClientOptions>): MeshClientOptions {
  const { idempotent } = readOptions<GrpcClientOptions>('grpc', options, { idempotent: [] }, { idempotent: methods })
  const isIdempotent = typeof idempotent === 'function' ? idempotent : among(idempotent)
  return {
    channelFactoryOverride: (target, credentials, channelOptions = {}) =>
      door.channel(target, credentials, channelOptions, isIdempotent),
  }
}

function among(methods: readonly (string | ServiceDefinition)[]): (path: string) => boolean {
  const paths = new Set(methods.flatMap((method) => (typeof method === 'string' ? [method] : idempotentPaths(method))))
  return (path) => paths.has(path)
}

/** Those whose proto names an idempotency level; proto-loader passes it on, which grpc-js's own types do not say. */
function idempotentPaths(service: ServiceDefinition): string[] {
  return Object.values(service as Record<string, WithOptions>)
    .filter(({ options }) => HARMLESS.has(options?.idempotency_level))
    .map(({ path }) => path)
}

interface WithOptions {
  readonly path: string
  readonly options?: { readonly idempotency_level?: string }
}

const HARMLESS: ReadonlySet<string | undefined> = new Set(['IDEMPOTENT', 'NO_SIDE_EFFECTS'])

const methods: OptionCheck = (v) =>
  typeof v === 'function' || (Array.isArray(v) && v.every(isMethod))
    ? undefined
    : 'a function, or an array of paths such as "/package.Service/Method" and service definitions'

function isMethod(v: unknown): boolean {
  return typeof v === 'string' ? /^\/[^/]+\/[^/]+$/.test(v) : typeof v === 'object' && v !== null
}
