import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { grpcEngine } from '../support/grpc-engine.ts'
import { INTEROP_CASES } from '../support/grpc-interop-cases.ts'
import { serveGrpcs } from '../support/grpc-servers.ts'
import { Absent } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'
import { turns } from '../support/turns.ts'

/** Each goes through a meshed client with three servers; grpc-js's own client with one must see the same. */
describe("a meshed client passes gRPC's interoperability case", () => {
  for (const [name, run] of Object.entries(INTEROP_CASES)) {
    test(name, async (t) => {
      const servers = await serveGrpcs(t, 'abc')
      const target = `127.0.0.1:${servers[0]?.port}`
      const insecure = grpc.credentials.createInsecure()
      const bare = grpcEngine(t, { addresses: [] }).client({ target })
      const { client, watch, door } = grpcEngine(t, { addresses: servers, balancer: turns })
      const absents = [new Absent(target, insecure), new Absent('voting:8080', insecure, grpcClientOptions(door))] as const
      for (const absent of absents) cleanup(t, () => absent.close())

      await run({ client: bare, absent: absents[0] })
      await run({ client: client(), absent: absents[1] })

      assert.notEqual(watch.calls.length, 0, 'the call went by the mesh')
    })
  }
})
