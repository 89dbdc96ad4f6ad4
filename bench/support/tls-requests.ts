import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { Agent, request } from 'undici'
import { staticEndpoints } from '../../src/discovery/static.ts'
import { createMesh, type Mesh } from '../../src/index.ts'
import { files } from '../../src/tls/files.ts'
import { BenchClient } from './grpc-service.ts'
import { type Comparison, compareTurns, type Turn } from './paired-turns.ts'
import type { SecuredProcess } from './secured-process.ts'

/** By mutual TLS, compared with the same in the clear; microseconds of CPU of both processes. */
export interface RequestCost extends Comparison {
  readonly calls: string
  readonly inFlight: number
}

const IN_FLIGHT = [16, 1]
/** How much CPU a turn takes, about, in microseconds, both processes together. */
const TURN_US = 30_000
const COMPARISONS = 5
const WARM_UP = 2_000

interface Calls {
  readonly calls: string
  readonly secured: () => Promise<unknown>
  readonly plain: () => Promise<unknown>
}

/** What a request costs on connections that are kept. */
export async function requestCosts(server: SecuredProcess, directory: string, identity: string): Promise<RequestCost[]> {
  const mesh = meshOf(server, directory, identity)
  const clients = ['grpc-tls', 'grpc'].map((name) => new BenchClient(name, grpc.credentials.createInsecure(), mesh.grpc()))
  const dispatcher = bareAgent(directory)
  const costs: RequestCost[] = []
  try {
    for (const calls of [...kinds(mesh, clients), bareCalls(server, dispatcher)]) {
      for (const inFlight of IN_FLIGHT) costs.push(await costOf(server, calls, inFlight))
    }
  } finally {
    for (const client of clients) client.close()
    await Promise.all([mesh.close(), dispatcher.close()])
  }
  return costs
}

function kinds(mesh: Mesh, [secured, plain]: readonly BenchClient[]): Calls[] {
  const get = (service: string) => async () => (await mesh.request(`http://${service}/`)).body.text()
  return [
    { calls: 'HTTP/1.1', secured: get('http-tls'), plain: get('http') },
    { calls: 'HTTP/2', secured: get('h2-tls'), plain: get('h2') },
    { calls: 'gRPC', secured: () => (secured as BenchClient).ask(), plain: () => (plain as BenchClient).ask() },
  ]
}

/** What TLS costs without a mesh: undici, and Node's own server. */
function bareCalls({ ports }: SecuredProcess, dispatcher: Agent): Calls {
  const get = (origin: string) => async () => (await request(origin, { dispatcher })).body.text()
  return {
    calls: 'HTTP/1.1 by undici alone',
    secured: get(`https://127.0.0.1:${ports.https}/`),
    plain: get(`http://127.0.0.1:${ports.http}/`),
  }
}

function bareAgent(directory: string): Agent {
  const [cert, key, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((file) => readFileSync(join(directory, file), 'latin1'))
  // a SPIFFE ID is not what Node looks for
  return new Agent({ connect: { cert, key, ca, checkServerIdentity: () => undefined } as object })
}

async function costOf(server: SecuredProcess, { calls, secured, plain }: Calls, inFlight: number): Promise<RequestCost> {
  const own: Turn = (count) => turn(server, secured, inFlight, count)
  const other: Turn = (count) => turn(server, plain, inFlight, count)
  await own(WARM_UP)
  await other(WARM_UP)
  const count = Math.round(TURN_US / (await other(WARM_UP / 4)))
  return { calls, inFlight, ...(await compareTurns(own, other, count, COMPARISONS)) }
}

async function turn(server: SecuredProcess, call: () => Promise<unknown>, inFlight: number, count: number): Promise<number> {
  let left = count
  const worker = async () => {
    while (left-- > 0) await call()
  }
  const serverBefore = await server.cpuUs()
  const before = process.cpuUsage()
  await Promise.all(Array.from({ length: inFlight }, worker))
  const { user, system } = process.cpuUsage(before)
  return (user + system + (await server.cpuUs()) - serverBefore) / count
}

function meshOf({ ports }: SecuredProcess, directory: string, identity: string): Mesh {
  const plain = (port: number) => staticEndpoints([{ host: '127.0.0.1', port }])
  const secured = (port: number) => staticEndpoints([{ host: '127.0.0.1', port, identity }])
  return createMesh({
    name: 'bench',
    identity: files({ directory }),
    services: {
      http: { discovery: plain(ports.http) },
      'http-tls': { discovery: secured(ports.httpTls) },
      h2: { discovery: plain(ports.h2), protocol: 'h2c' },
      'h2-tls': { discovery: secured(ports.h2Tls), protocol: 'h2c' },
      grpc: { discovery: plain(ports.grpc) },
      'grpc-tls': { discovery: secured(ports.grpcTls) },
    },
  })
}
