import grpc from '@grpc/grpc-js'
import { readConfig } from '../../src/config.ts'
import { type Runtime, systemClock, systemRandom } from '../../src/core/clock.ts'
import { StallMeter } from '../../src/core/stall.ts'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { GrpcDoor } from '../../src/intercept/grpc/door.ts'
import { openService } from '../../src/open-service.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { router } from '../../src/routing/router.ts'
import { GoldenMetrics } from '../../src/telemetry/golden-metrics.ts'
import { EmptyChannel } from './empty-channel.ts'
import { BenchClient } from './grpc-service.ts'

export interface GrpcClients {
  /** Over every port, with everything on that is on by default. */
  readonly meshed: BenchClient
  /** One for each port, as grpc-js makes it. */
  readonly bare: readonly BenchClient[]
  /** One over every port, with a channel between it and grpc-js that only passes on. */
  readonly empty: BenchClient
  readonly close: () => Promise<void>
}

/** A mesh's door for grpc-js with the defaults of a mesh, and clients without any. */
export function makeGrpcClients(ports: readonly number[]): GrpcClients {
  const runtime: Runtime = { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const stalls = new StallMeter(systemClock)
  const discovery = staticEndpoints(ports.map((port) => `127.0.0.1:${port}`))
  const config = readConfig({ services: { bench: { discovery } } }).services.get('bench')
  if (config === undefined) throw new Error('bench: no configuration')
  const observer = new GoldenMetrics(systemClock)
  const open = openService('bench', config, { runtime, background: runtime, stalls, observer })
  const door = new GrpcDoor({
    name: '',
    runtime,
    router: router({ configured: new Set(['bench']), implicit: () => false, make: () => open.table }),
    connection: () => ({ connectTimeoutMs: config.connectTimeoutMs, h2c: false, allowH2: true, tls: undefined }),
    egress: () => {},
  })
  const credentials = grpc.credentials.createInsecure()
  const meshed = new BenchClient('bench:8080', credentials, grpcClientOptions(door))
  const bare = ports.map((port) => new BenchClient(`127.0.0.1:${port}`, credentials))
  const empty = new BenchClient('bench:8080', credentials, {
    channelFactoryOverride: () => new EmptyChannel(ports.map((port) => new grpc.Channel(`127.0.0.1:${port}`, credentials, {}))),
  })
  return {
    meshed,
    bare,
    empty,
    async close() {
      for (const client of [...bare, empty]) client.close()
      await door.close()
      open.stop()
      stalls.stop()
    },
  }
}
