import type { TestContext } from 'node:test'
import grpc from '@grpc/grpc-js'
import { type Runtime, systemClock, systemRandom } from '../../src/core/clock.ts'
import type { DoorParts } from '../../src/intercept/door-parts.ts'
import { type GrpcClientOptions, grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { GrpcDoor } from '../../src/intercept/grpc/door.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { routeTable } from '../../src/routing/route-table.ts'
import { router } from '../../src/routing/router.ts'
import { AT_ONCE, type Engine, type EngineOptions, engine } from './engine.ts'
import { Trial, type TrialClient } from './grpc-trial.ts'
import { cleanup } from './servers.ts'

export interface GrpcEngine extends Engine {
  readonly parts: DoorParts
  readonly door: GrpcDoor
  /** A client of the service, closed with the test. */
  client(options?: ClientMaking): TrialClient
}

export interface ClientMaking extends grpc.ClientOptions {
  readonly target?: string
  readonly credentials?: grpc.ChannelCredentials
  readonly mesh?: Partial<GrpcClientOptions>
}

/** A service `voting` behind both the dispatcher and the door for grpc-js; fails when something is left in flight. */
export function grpcEngine(t: TestContext, options: EngineOptions): GrpcEngine {
  const base = engine(t, options)
  const runtime: Runtime = { clock: options.clock ?? systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const table = routeTable(base.service, {
    retry: (options.retry ?? AT_ONCE)(runtime, base.budget),
    hedge: options.hedge?.(runtime, base.budget),
    timeoutMs: options.timeoutMs ?? 0,
    perTryTimeoutMs: options.perTryTimeoutMs ?? 0,
  })
  const parts: DoorParts = {
    name: 'web',
    runtime,
    router: router({ configured: new Set(['voting']), implicit: () => false, make: () => table }),
    connection: () => ({
      connectTimeoutMs: options.connectTimeoutMs ?? 1_000,
      h2c: false,
      allowH2: true,
      tls: undefined,
      identity: options.identity,
    }),
    egress: (origin) => void base.egress.push(origin),
  }
  const door = new GrpcDoor(parts)
  cleanup(t, () => door.close())
  const client = ({ target = 'voting:8080', credentials, mesh, ...rest }: ClientMaking = {}): TrialClient => {
    const made = new Trial(target, credentials ?? grpc.credentials.createInsecure(), {
      ...grpcClientOptions(door, mesh),
      ...rest,
    })
    cleanup(t, () => made.close())
    return made
  }
  return { ...base, parts, door, client }
}

/** The answer to a unary call, or its error. */
export function answer<T>(call: (done: (error: grpc.ServiceError | null, value?: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value as T))))
}
