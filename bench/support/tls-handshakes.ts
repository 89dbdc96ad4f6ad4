import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import tls from 'node:tls'
import type { Runtime } from '../../src/core/clock.ts'
import { SecureListener, Security } from '../../src/server/secure-listener.ts'
import { files } from '../../src/tls/files.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import { SecuredEndpoint } from '../../src/transport/secured-endpoint.ts'
import { type Comparison, compareTurns, type Turn } from './paired-turns.ts'

/** Compared with bare node:tls that uses the same group; milliseconds of CPU of both ends, from nothing to a closed connection. */
export interface HandshakeCost extends Comparison {
  readonly contestant: string
}

/** Connections in a turn, and how many are made at once. */
const COUNT = 50
const AT_ONCE = 4
const COMPARISONS = 3
const WARM_UP = 200
const HYBRID = 'X25519MLKEM768'

/** Somebody who makes a connection, sees it through to both ends, and closes it. */
interface Contestant {
  readonly server: Server
  readonly connect: (port: number) => Promise<Socket>
  readonly stop?: () => void
}

/** What a connection costs whose ends have proved who they are. Both are in this process. */
export async function handshakeCosts(runtime: Runtime, directory: string, identity: string): Promise<HandshakeCost[]> {
  const contestants: Readonly<Record<string, Contestant>> = {
    'mesh, hybrid group': await meshed(runtime, directory, identity),
    'node:tls, hybrid group, again': bare(directory, HYBRID),
    'node:tls, X25519': bare(directory, 'X25519'),
    'no TLS': plain(),
  }
  const usual = await turnOf(bare(directory, HYBRID))
  const costs: HandshakeCost[] = []
  for (const [name, contestant] of Object.entries(contestants)) {
    const own = await turnOf(contestant)
    costs.push({ contestant: name, ...(await compareTurns(own.turn, usual.turn, COUNT, COMPARISONS)) })
    own.stop()
  }
  usual.stop()
  return costs
}

async function turnOf(contestant: Contestant): Promise<{ turn: Turn; stop: () => void }> {
  const { server, connect } = contestant
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const turn: Turn = async (count) => {
    let left = count
    const worker = async () => {
      while (left-- > 0) await once((await connect(port)).destroy(), 'close')
    }
    const before = process.cpuUsage()
    await Promise.all(Array.from({ length: AT_ONCE }, worker))
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1_000 / count
  }
  await turn(WARM_UP)
  const stop = () => {
    contestant.stop?.()
    server.close()
  }
  return { turn, stop }
}

/** A server says a byte once it knows who calls, so that both ends are through. */
const HELLO = '.'

async function greeted<S extends Socket>(socket: S): Promise<S> {
  await once(socket, 'data')
  return socket
}

function bare(directory: string, ecdhCurve: string): Contestant {
  const [cert, key, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((file) => readFileSync(join(directory, file))) as [
    Buffer,
    Buffer,
    Buffer,
  ]
  const context = { cert, key, ca, ecdhCurve, minVersion: 'TLSv1.3' } as const
  const secureContext = tls.createSecureContext(context)
  // a SPIFFE ID is not what Node looks for
  const options = { host: '127.0.0.1', secureContext, ecdhCurve, checkServerIdentity: () => undefined } as const
  return {
    server: tls.createServer({ ...context, requestCert: true, rejectUnauthorized: true }, (socket) => greet(socket)),
    connect: (port) => greeted(tls.connect({ ...options, port })),
  }
}

function plain(): Contestant {
  return { server: net.createServer((socket) => greet(socket)), connect: (port) => greeted(net.connect(port, '127.0.0.1')) }
}

async function meshed(runtime: Runtime, directory: string, identity: string): Promise<Contestant> {
  const keyring = new Keyring({ runtime, source: files({ directory }) })
  await new Promise((resolve) => keyring.whenPresent(resolve))
  const security = new Security({ keyring, clock: runtime.clock })
  const terms = { mode: 'strict', protocols: ['http/1.1'], tlsOnly: false } as const
  const listener = new SecureListener(security, { ...terms, serve: (socket) => greet(socket as Socket) })
  const common = { keyring, runtime, service: 'bench', strict: true, allowed: [] }
  const endpoints = new Map<number, SecuredEndpoint>()
  const endpoint = (port: number) => {
    const found = endpoints.get(port) ?? new SecuredEndpoint({ host: '127.0.0.1', port, identity }, common, () => {})
    endpoints.set(port, found)
    return found
  }
  return {
    server: net.createServer((socket) => listener.accept(socket)),
    connect: (port) =>
      new Promise((resolve, reject) => {
        endpoint(port).dial({}, 'http/1.1', { failed: reject, secured: (socket) => resolve(greeted(socket)) })
      }),
    stop() {
      for (const one of endpoints.values()) one.close()
      security.close()
      keyring.close()
    },
  }
}

function greet(socket: Socket): void {
  socket.on('error', () => {}).write(HELLO)
}
