import type { Socket } from 'node:net'
import { CallCredentials, ChannelCredentials, type experimental } from '@grpc/grpc-js'
import type { Clock, Timer } from '../../core/clock.ts'
import type { SecuredEndpoint } from '../../transport/secured-endpoint.ts'

type SecureConnector = experimental.SecureConnector
type SecureConnectResult = experimental.SecureConnectResult

/**
 * Has grpc-js connect to one endpoint as the mesh does: with the identity that this process has at the time, to whom is expected there. Connections
 * are shared by those who have the same object, and made anew for another one.
 */
export class MeshCredentials extends ChannelCredentials {
  readonly #secured: SecuredEndpoint
  readonly #connectTimeoutMs: number
  readonly #clock: Clock

  /** @param connectTimeoutMs for TLS, in milliseconds; 0 for no limit. grpc-js has none: it would wait for ever. */
  constructor(secured: SecuredEndpoint, connectTimeoutMs: number, clock: Clock) {
    super()
    this.#secured = secured
    this.#connectTimeoutMs = connectTimeoutMs
    this.#clock = clock
  }

  override _isSecure(): boolean {
    return true
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other
  }

  override _createSecureConnector(_target: unknown, _options: unknown, callCredentials?: CallCredentials): SecureConnector {
    const credentials = callCredentials ?? CallCredentials.createEmpty()
    return {
      connect: (socket) => this.#connect(socket),
      // an identity is waited for within the limit on the connection
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => credentials,
      destroy: () => {},
    }
  }

  #connect(socket: Socket): Promise<SecureConnectResult> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined
      const failed = (error: Error): void => {
        timer?.cancel()
        reject(error)
      }
      const handshake = this.#secured.dial({ socket }, 'h2', {
        failed,
        secured: (tls) => {
          timer?.cancel()
          resolve({ socket: tls, secure: true })
        },
      })
      if (handshake.over || this.#connectTimeoutMs === 0) return
      timer = this.#clock.after(this.#connectTimeoutMs, () => {
        failed(new Error(`no TLS connection within ${this.#connectTimeoutMs} ms: ${handshake.expire()}`))
      })
    })
  }
}
