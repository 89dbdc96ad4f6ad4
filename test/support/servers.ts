import assert from 'node:assert/strict'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net, { type AddressInfo, type Server, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A real server on a free port of the loopback, closed with the test. */
export interface TestServer {
  readonly port: number
  /** `http://127.0.0.1:port`, or `https://localhost:port` when it speaks TLS. */
  readonly origin: string
  readonly server: Server
  /** The sockets that are open now. */
  readonly connections: ReadonlySet<Socket>
  /** How many sockets were ever accepted. */
  readonly accepted: () => number
  /** Resolves once no socket is open. */
  readonly idle: () => Promise<void>
  /** Stops listening, resolves when every client has left; rejects, and cuts them off, when one has not within `DANGLING_AFTER_MS`. */
  readonly close: () => Promise<void>
}

/** A client that has not closed its socket by then has forgotten it. Only a failing test waits this long. */
const DANGLING_AFTER_MS = 2_000

/** HTTP/1.1. */
export function serve(t: TestContext, handler: http.RequestListener): Promise<TestServer> {
  return listen(t, http.createServer(handler), 'http://127.0.0.1')
}

/** HTTP/1.1 over TLS, with `testCertificate`. */
export function serveTls(t: TestContext, handler: http.RequestListener): Promise<TestServer> {
  return listen(t, https.createServer({ ...testCertificate }, handler), 'https://localhost')
}

/** HTTP/2 over TLS, HTTP/1.1 for those who do not ask for it; with `testCertificate`. */
export function serveH2(t: TestContext, handler: Http2Handler): Promise<TestServer> {
  return listen(t, http2.createSecureServer({ ...testCertificate, allowHTTP1: true }, handler), 'https://localhost')
}

/** HTTP/2 without TLS, by prior knowledge. */
export function serveH2c(t: TestContext, handler: Http2Handler): Promise<TestServer> {
  return listen(t, http2.createServer(handler), 'http://127.0.0.1')
}

/** Bare sockets: for answers that no HTTP server would give. */
export function serveRaw(t: TestContext, handler: (socket: Socket) => void): Promise<TestServer> {
  return listen(t, net.createServer(handler), 'http://127.0.0.1')
}

export type Http2Handler = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void

/**
 * Runs when the test is over, the latest registered first: a client made after its server is closed before it.
 * (`t.after` itself runs the first registered first.)
 */
export function cleanup(t: TestContext, close: () => unknown): void {
  const stack = stacks.get(t)
  if (stack !== undefined) {
    stack.push(close)
    return
  }
  const fresh = [close]
  stacks.set(t, fresh)
  t.after(async () => {
    const failures: unknown[] = []
    for (let next = fresh.pop(); next !== undefined; next = fresh.pop()) {
      try {
        await next()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures.length === 1 ? failures[0] : new AggregateError(failures, 'cleanup failed')
  })
}

const stacks = new WeakMap<TestContext, (() => unknown)[]>()

/** Takes note of a server's sockets, starts it, and sees to its end. */
async function listen(t: TestContext, server: Server, scheme: string): Promise<TestServer> {
  const connections = new Set<Socket>()
  const waiting: (() => void)[] = []
  let accepted = 0
  server.on('connection', (socket) => {
    accepted++
    connections.add(socket)
    // The test's client may well reset it; that must not end the process.
    socket.on('error', () => {})
    socket.on('close', () => {
      connections.delete(socket)
      if (connections.size === 0) for (const resolve of waiting.splice(0)) resolve()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  const idle = () => (connections.size === 0 ? Promise.resolve() : new Promise<void>((resolve) => waiting.push(resolve)))
  let closing: Promise<void> | undefined
  const close = () => {
    closing ??= closeServer(server, connections, idle)
    return closing
  }
  cleanup(t, close)
  const { port } = server.address() as AddressInfo
  return { port, origin: `${scheme}:${port}`, server, connections, accepted: () => accepted, idle, close }
}

async function closeServer(server: Server, connections: ReadonlySet<Socket>, idle: () => Promise<void>): Promise<void> {
  // net.Server's own close: that of http.Server also hangs up on idle clients, and would hide those who forgot to leave.
  net.Server.prototype.close.call(server)
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(resolve, DANGLING_AFTER_MS, 'late')
  })
  const outcome = await Promise.race([idle(), late])
  clearTimeout(timer)
  const dangling = connections.size
  for (const socket of connections) socket.destroy()
  assert.notEqual(outcome, 'late', `${dangling} sockets still open ${DANGLING_AFTER_MS} ms after the end of the test`)
}

/** Self-signed, for `localhost`, `voting` and the loopback addresses. Worth nothing outside the tests. */
export const testCertificate: { readonly key: string; readonly cert: string } = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg3w80LDg9a58spLSd
Iw5+8P9nBKY3/DZ/TcFwcOQPZAyhRANCAAT3ZZzSnBkZH6NKo7PEv1PIq+sp5hZa
CkMY2acT5jorM5RWzjU4hbpNKSOn7MxatET1BtyqkngHkNI45pdfNhew
-----END PRIVATE KEY-----`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBtzCCAV2gAwIBAgIUMNv8cGYwz4jABEFF+wpx0oWVfPowCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjIxMTEzNVoYDzIxMjYxMDI5
MjExMTM1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAT3ZZzSnBkZH6NKo7PEv1PIq+sp5hZaCkMY2acT5jorM5RWzjU4hbpN
KSOn7MxatET1BtyqkngHkNI45pdfNhewo4GKMIGHMB0GA1UdDgQWBBRoNrnke8Jg
6kMWfqma7nTnUGLC2TAfBgNVHSMEGDAWgBRoNrnke8Jg6kMWfqma7nTnUGLC2TAP
BgNVHRMBAf8EBTADAQH/MDQGA1UdEQQtMCuCCWxvY2FsaG9zdIIGdm90aW5nhwR/
AAABhxAAAAAAAAAAAAAAAAAAAAABMAoGCCqGSM49BAMCA0gAMEUCIFUtJx8szlig
Au+O6B7X0k0SC8pxHIOot9udprvTnVMoAiEAyPj5RmlOcjqvj9uEspBUMuTqiT2O
f+btgKCur24IA98=
-----END CERTIFICATE-----`,
}
