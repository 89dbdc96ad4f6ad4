import { isIP } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { peerChain } from '../tls/peer-chain.ts'
import { UsageError } from './command.ts'

/** How long a handshake may take, in milliseconds: a person is waiting. */
const HANDSHAKE_MS = 5_000

/** What a server has shown in a handshake. */
export interface LiveServer {
  /** As DER, its leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly protocol: string | null
  readonly cipher: string
  /** The group of the key exchange; null when Node can't tell. */
  readonly group: string | null
  readonly alpn: string | null
}

/**
 * Does a TLS handshake and leaves. Believes everything, for it is here to look, and sends nothing.
 *
 * @throws Error that says what was in the way
 */
export function lookAt(target: string, servername: string | undefined, clock: Clock): Promise<LiveServer> {
  const place = readTarget(target)
  if (place === undefined) throw new UsageError(`expected a file or host:port, got ${JSON.stringify(target)}`)
  const name = servername ?? (isIP(place.host) === 0 ? place.host : '')
  return new Promise((resolve, reject) => {
    const options = { ...place, servername: name, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] }
    const socket = connect(options)
    const end = () => {
      timer.cancel()
      socket.destroy()
    }
    const timer = clock.hold(HANDSHAKE_MS, () => {
      end()
      reject(new Error(`${target}: no TLS handshake within ${HANDSHAKE_MS} ms: is that a TLS port?`))
    })
    socket.once('secureConnect', () => {
      resolve(seen(socket))
      end()
    })
    socket.on('error', (cause: NodeJS.ErrnoException) => {
      // TLS 1.2 fails here when the server asks for a certificate; its own has been seen by then.
      const server = seen(socket)
      if (server.chain.length > 0) resolve(server)
      else reject(new Error(`${target}: ${reasonOf(cause)}`, { cause }))
      end()
    })
  })
}

/** `host:port`, `[::1]:port` or `https://host:port`; undefined when it is none of these. */
function readTarget(text: string): { host: string; port: number } | undefined {
  const [, bracketed, plain, port] = /^(?:https:\/\/)?(?:\[([0-9a-f:.]+)\]|([^:/\s]+)):(\d{1,5})\/?$/i.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || Number(port) < 1 || Number(port) > 65_535) return undefined
  return { host, port: Number(port) }
}

function seen(socket: TLSSocket): LiveServer {
  // Null once the connection is gone, and always for a server's side.
  const { name } = (socket.getEphemeralKeyInfo() ?? {}) as { name?: string }
  return {
    // Asked once: a second time, Node answers that there is none.
    chain: peerChain(socket),
    protocol: socket.getProtocol(),
    cipher: socket.getCipher()?.name ?? 'unknown',
    group: name ?? null,
    alpn: socket.alpnProtocol || null,
  }
}

function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return 'it does not speak TLS on this port'
  if (code === 'ECONNRESET') return 'it closed the connection during the handshake: is that a TLS port?'
  return `${message}`
}
