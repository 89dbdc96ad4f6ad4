import { isIP, type Socket } from 'node:net'
import { buildConnector, errors } from 'undici'
import type { Clock, Timer } from '../core/clock.ts'
import { type Address, addressName } from '../core/endpoint.ts'
import type { MeshTls } from './mesh-tls.ts'
import type { SecuredEndpoint } from './secured-endpoint.ts'

/** What every connection of a service has in common. */
export interface ConnectionOptions {
  /** How long a TCP and TLS connection may take to come about, in milliseconds; 0 for no limit of ours. */
  readonly connectTimeoutMs: number
  /** Speak HTTP/2 without asking first (h2c by prior knowledge, RFC 9113 section 3.3); only for `http:`. */
  readonly h2c: boolean
  /** Offer HTTP/2 in the TLS handshake. */
  readonly allowH2: boolean
  /** What to trust and to show in the TLS handshake; Node's defaults when absent. */
  readonly tls: TlsOptions | undefined
  /** How the mesh secures what is called in the clear; not at all when absent. What is called by `https:` keeps to `tls`. */
  readonly identity?: MeshTls | undefined
}

/** PEM texts, as `tls.connect` takes them. */
export interface TlsOptions {
  readonly ca?: string | readonly string[]
  readonly cert?: string
  readonly key?: string
  /** Whom the endpoint's certificate must name, if not the service. A Host header or `servername` of the application's goes first. */
  readonly servername?: string
}

/**
 * Dials one endpoint, whatever host undici believes it talks to: so Host, `:authority` and SNI are the service's, and the application's
 * options pass through uncopied. TLS is added here and nowhere else.
 *
 * The time limit is kept here, too: undici's own counts in steps of half a second.
 */
export function connector(address: Address, options: ConnectionOptions, clock: Clock): buildConnector.connector {
  const dial = buildConnector({
    timeout: 0,
    allowH2: options.allowH2,
    ...(options.h2c ? { useH2c: true } : {}),
    ...(options.tls as object | undefined),
  }) as (target: buildConnector.Options, callback: buildConnector.Callback) => Socket
  const { host, port } = address
  const { connectTimeoutMs } = options
  return (target, callback) => {
    let timer: Timer | undefined
    const done = ((error, connected) => {
      timer?.cancel()
      callback(...([error, connected] as Parameters<buildConnector.Callback>))
    }) as buildConnector.Callback
    const socket = dial({ ...target, hostname: host, port: String(port), ...serverName(target, options.tls) }, done)
    const expire = (): void => void socket.destroy(connectTimeout(address, connectTimeoutMs))
    if (connectTimeoutMs === 0) return
    timer = clock.after(connectTimeoutMs, () => {
      // once more through the loop: if this process stood still, the connection may be there already
      timer = clock.after(1, expire)
    })
  }
}

/**
 * As `connector`, to an endpoint that must prove its identity: undici believes that it speaks in the clear, and by `options.h2c` whether it speaks
 * HTTP/2.
 */
export function securedConnector(
  address: Address,
  options: ConnectionOptions,
  clock: Clock,
  secured: SecuredEndpoint,
): buildConnector.connector {
  const { connectTimeoutMs } = options
  return ({ localAddress }, callback) => {
    let timer: Timer | undefined
    const failed = (error: Error): void => {
      timer?.cancel()
      callback(error, null)
    }
    const handshake = secured.dial({ localAddress: localAddress ?? undefined }, options.h2c ? 'h2' : 'http/1.1', {
      failed,
      secured: (socket) => {
        timer?.cancel()
        callback(null, socket)
      },
    })
    if (connectTimeoutMs === 0 || handshake.over) return
    const expire = (): void => failed(connectTimeout(address, connectTimeoutMs, handshake.expire()))
    timer = clock.after(connectTimeoutMs, () => {
      timer = clock.after(1, expire)
    })
  }
}

/** SNI names hosts only (RFC 6066 section 3). */
function serverName({ protocol, servername, hostname }: buildConnector.Options, tls: TlsOptions | undefined): object {
  if (protocol !== 'https:') return {}
  const name = servername || tls?.servername || hostname
  return isIP(name) === 0 ? { servername: name } : {}
}

/** @param waitedFor empty when it is not known, or plain */
function connectTimeout(address: Address, ms: number, waitedFor = ''): Error {
  const note = waitedFor === '' ? '' : `: ${waitedFor}`
  return new errors.ConnectTimeoutError(`connect timeout ${addressName(address)} (${ms} ms)${note}`)
}
