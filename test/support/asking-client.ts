// A client in a process of its own that is told whom to ask, asks through every door, and tells what was answered. Nothing is configured but its name.
import http from 'node:http'
import { text } from 'node:stream/consumers'
import grpc from '@grpc/grpc-js'
import { createMesh, type MeshStats } from '../../src/index.ts'
import { type Answer, Trial } from './grpc-trial.ts'

/** Whom to ask by HTTP and by gRPC, and what to send. */
export interface Errand {
  readonly http: string
  readonly grpc: string
  readonly body: string
}

/** What was answered, by door. */
export interface Report {
  readonly answers: Readonly<Record<string, string>>
  readonly stats: MeshStats
}

const mesh = createMesh({ name: 'web' })

process.on('message', async ({ http: authority, grpc: target, body }: Errand) => {
  const url = `http://${authority}/`
  const answers = {
    fetch: await (await mesh.fetch(url, { method: 'POST', body })).text(),
    request: await (await mesh.request(url, { method: 'POST', body })).body.text(),
    'global fetch': await (await fetch(url, { method: 'POST', body, dispatcher: mesh.dispatcher } as object)).text(),
    'node:http': await overHttp(authority, body),
    'grpc-js': await overGrpc(target, body),
  }
  process.send?.({ answers, stats: mesh.stats() } satisfies Report)
})
process.once('disconnect', () => process.exit())
process.send?.('ready')

function overHttp(host: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, method: 'POST', agent: mesh.httpAgent as unknown as http.Agent })
    request.on('response', (response) => resolve(text(response))).on('error', reject)
    request.end(body)
  })
}

function overGrpc(target: string, body: string): Promise<string> {
  const client = new Trial(target, grpc.credentials.createInsecure(), mesh.grpc())
  return new Promise<string>((resolve, reject) =>
    client.ask({ body: Buffer.from(body) }, (error, answer) => (error ? reject(error) : resolve((answer as Answer).server))),
  ).finally(() => client.close())
}
