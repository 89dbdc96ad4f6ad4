import http from 'node:http'
import type { TestContext } from 'node:test'
import grpc from '@grpc/grpc-js'
import type { Mesh } from '../../src/index.ts'
import { answer } from './grpc-engine.ts'
import { Trial } from './grpc-trial.ts'
import { cleanup } from './servers.ts'

/** Calls `voting` by node:http; rejects with what the application is told. */
export function overHttp({ httpAgent }: Mesh): Promise<unknown> {
  return new Promise((resolve, reject) => {
    http.get({ host: 'voting', agent: httpAgent }, resolve).on('error', reject)
  })
}

/** Calls `tally` by grpc-js; likewise. */
export function overGrpc(t: TestContext, mesh: Mesh): Promise<unknown> {
  const client = new Trial('tally', grpc.credentials.createInsecure(), mesh.grpc() as grpc.ClientOptions)
  cleanup(t, () => client.close())
  return answer((done) => client.empty({}, done))
}
