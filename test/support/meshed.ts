import type http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import type { SecureVersion } from 'node:tls'
import grpc from '@grpc/grpc-js'
import { type Runtime, systemClock, systemRandom } from '../../src/core/clock.ts'
import type { Identity } from '../../src/core/identity.ts'
import { type HandshakeResult, noTlsObserver } from '../../src/core/tls-observer.ts'
import { retryLoop } from '../../src/resilience/retry-loop.ts'
import { Keyring } from '../../src/tls/keyring.ts'
import type { Revocations } from '../../src/tls/revocations.ts'
import type { MeshTls } from '../../src/transport/mesh-tls.ts'
import { time } from '../tls/der-writer.ts'
import { HOUR, type Made, makeRoot, type Recipe } from '../tls/test-certificates.ts'
import { makeIdentity, TrialSource } from '../tls/trial-identities.ts'
import { cleanup, type TestServer } from './servers.ts'

/** Sockets are judged by OpenSSL's clock, too, which can't be turned. */
const NOW = Date.now()

export const WEB = 'spiffe://cluster.local/ns/emojivoto/sa/web'
export const VOTING = 'spiffe://cluster.local/ns/emojivoto/sa/voting'

const valid = (untilMs = 24 * HOUR, fromMs = -HOUR): Partial<Recipe> => ({
  notBefore: time(NOW + fromMs),
  notAfter: time(NOW + untilMs),
})

export const aRoot = (): Made => makeRoot(valid(1_000 * HOUR))
export const ROOT: Made = aRoot()

export interface IdentityChanges {
  readonly root?: Made
  readonly trust?: readonly Made[]
  /** From now, in milliseconds; negative has expired. */
  readonly lifeMs?: number
  readonly recipe?: Partial<Recipe>
}

/** An identity that is valid now, by the machine's calendar. */
export function identityOf(
  id: string,
  { root = ROOT, trust = [root], lifeMs = 24 * HOUR, recipe }: IdentityChanges = {},
): Identity {
  const { host, pathname } = new URL(id)
  const changes = { trust, domain: host, notAfter: NOW + lifeMs, recipe: { ...valid(lifeMs), ...recipe } }
  return makeIdentity(root, pathname, changes)
}

export interface MeshedOptions {
  /** Default: that of web. `null` for none. */
  readonly identity?: Identity | null
  readonly strict?: boolean
  readonly allowed?: readonly string[]
  readonly revocations?: Revocations
  readonly runtime?: Runtime
}

/** The client's side of the mesh's TLS, with what it saw. */
export interface Meshed extends MeshTls {
  readonly source: TrialSource
  /** How its handshakes ended. */
  readonly results: HandshakeResult[]
}

export function meshed(t: TestContext, options: MeshedOptions = {}): Meshed {
  const { identity = identityOf(WEB), strict = false, allowed = [], revocations } = options
  const runtime = options.runtime ?? { clock: systemClock, random: systemRandom, retryLoop: retryLoop(systemClock) }
  const source = new TrialSource()
  const results: HandshakeResult[] = []
  const observer = { ...noTlsObserver, handshakeEnded: (_side: string, result: HandshakeResult) => void results.push(result) }
  const verifier = revocations === undefined ? {} : { verifier: { revocations } }
  const keyring = new Keyring({ runtime, source: source.factory, observer, ...verifier })
  void keyring.identity
  if (identity !== null) source.identity(identity)
  cleanup(t, () => keyring.close())
  return { keyring, runtime, service: 'voting', strict, allowed, source, results }
}

/** What a server of the mesh shows, and asks of its callers. */
export function serverTls(identity: Identity, maxVersion: SecureVersion = 'TLSv1.3') {
  const { certificates: cert, key } = identity
  const ca = Object.values(identity.trust).flat()
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true, maxVersion }
}

/** HTTP/1.1 inside the mesh's TLS. */
export function serveMeshed(t: TestContext, identity: Identity, handler: http.RequestListener): Promise<TestServer> {
  return listening(t, https.createServer(serverTls(identity), handler))
}

/** HTTP/2 inside the mesh's TLS. */
export function serveMeshedH2(t: TestContext, identity: Identity, handler: http.RequestListener): Promise<TestServer> {
  return listening(t, http2.createSecureServer(serverTls(identity), handler as never))
}

export function grpcMeshed(identity: Identity): grpc.ServerCredentials {
  const { cert, key, ca } = serverTls(identity)
  return grpc.ServerCredentials.createSsl(
    Buffer.from(ca.join('')),
    [{ cert_chain: Buffer.from(cert), private_key: Buffer.from(key) }],
    true,
  )
}

/** Hands on every byte to a port, both ways, and keeps them. */
export async function serveWiretap(t: TestContext, port: number): Promise<{ port: number; bytes: () => Buffer }> {
  const seen: Buffer[] = []
  const server = await listening(
    t,
    net.createServer((socket) => {
      const onwards = net.connect(port, '127.0.0.1')
      for (const [from, to] of [
        [socket, onwards],
        [onwards, socket],
      ] as const) {
        from.on('data', (chunk: Buffer) => seen.push(chunk)).on('error', () => {})
        from.on('close', () => to.destroy()).pipe(to)
      }
    }),
  )
  return { port: server.port, bytes: () => Buffer.concat(seen) }
}

/** As `listen` of servers.ts; here, servers are cut off at the end of the test, as the client may have been refused. */
export async function listening(t: TestContext, server: Server): Promise<TestServer> {
  const connections = new Set<Socket>()
  let accepted = 0
  server.on('connection', (socket: Socket) => {
    accepted++
    connections.add(socket)
    socket.on('error', () => {}).on('close', () => connections.delete(socket))
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = async () => {
    net.Server.prototype.close.call(server)
    for (const socket of connections) socket.destroy()
  }
  cleanup(t, close)
  const { port } = server.address() as AddressInfo
  const idle = async () => {
    while (connections.size > 0) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return { port, origin: `https://127.0.0.1:${port}`, server, connections, accepted: () => accepted, idle, close }
}
