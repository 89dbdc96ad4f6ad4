import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import grpc from '@grpc/grpc-js'
import { grpcClientOptions } from '../../src/intercept/grpc/client-options.ts'
import { concurrencyLimit } from '../../src/server/limits/concurrency-limit.ts'
import { grpcEngine } from '../support/grpc-engine.ts'
import { INTEROP_CASES } from '../support/grpc-interop-cases.ts'
import { Absent } from '../support/grpc-trial.ts'
import { cleanup } from '../support/servers.ts'
import { serveGrpc } from './support/grpc-serving.ts'

const ALL_ON = { loadReports: true, enforceDeadlines: true, admissions: [concurrencyLimit()] }

for (const channelz of [1, 0]) {
  describe(`a meshed server ${channelz === 1 ? '' : 'without channelz '}passes gRPC's interoperability case`, () => {
    for (const [name, run] of Object.entries(INTEROP_CASES)) {
      test(name, async (t) => {
        const options = { 'grpc.enable_channelz': channelz }
        const { port, client, seen, mesh } = await serveGrpc(t, { inbound: ALL_ON, options })
        const insecure = grpc.credentials.createInsecure()
        const { door, client: meshed } = grpcEngine(t, { addresses: [{ port }] })
        const absents = [
          new Absent(`127.0.0.1:${port}`, insecure),
          new Absent('voting:8080', insecure, grpcClientOptions(door)),
        ] as const
        for (const absent of absents) cleanup(t, () => absent.close())

        await run({ client, absent: absents[0] })
        await run({ client: meshed(), absent: absents[1] })
        await new Promise<void>((resolve) => mesh.inbound.whenIdle(resolve))

        const started = seen.lines.filter((line) => line.startsWith('started'))
        // a call that is cancelled at once is never sent
        if (name !== 'cancel_after_begin') assert.notEqual(started.length, 0)
        assert.equal(seen.endings.length, started.length)
      })
    }
  })
}
