import type { AddressInfo, Server } from 'node:net'
import type { Runtime } from '../../core/clock.ts'
import { MeshError } from '../../core/errors.ts'
import { announce, type Registration } from '../local.ts'

export interface AnnounceOptions {
  /** The name by which clients call it. Default: the mesh's own name. */
  readonly service?: string
  /** Whatever clients may want to see. */
  readonly metadata?: Readonly<Record<string, string>>
  /** Failure domain. */
  readonly zone?: string
}

/**
 * Registers a server in the machine's local registry as soon as it listens, and withdraws it when it closes.
 *
 * @throws MeshError INMESH_CONFIG when there is no name, or the server listens on something that has no port
 */
export function announceServer(runtime: Runtime, server: Server, service: string, options: AnnounceOptions): Registration {
  if (service === '') throw new MeshError('INMESH_CONFIG', 'announce.service: expected a name, got "" (set it, or name the mesh)')
  let registration: Registration | undefined
  const register = () => {
    const { address, port } = tcpAddress(server)
    const { metadata, zone } = options
    registration = announce(runtime, {
      service,
      host: address,
      port,
      ...(metadata === undefined ? {} : { metadata }),
      ...(zone === undefined ? {} : { zone }),
    })
  }
  const withdraw = () => {
    server.off('listening', register).off('close', withdraw)
    registration?.withdraw()
  }
  server.once('close', withdraw)
  if (server.listening) register()
  else server.once('listening', register)
  return { withdraw }
}

function tcpAddress(server: Server): AddressInfo {
  const address = server.address()
  if (address !== null && typeof address === 'object') return address
  throw new MeshError('INMESH_CONFIG', `announce: expected a server with a TCP port, got ${address === null ? 'none' : address}`)
}
