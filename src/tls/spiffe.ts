import { MeshError } from '../core/errors.ts'
import type { IdentitySourceFactory } from '../core/identity.ts'
import { aString, type OptionCheck, readOptions, shown } from '../core/options.ts'
import { EXPECTED_ENDPOINT, readWorkloadEndpoint, type WorkloadEndpoint } from './workload/workload-endpoint.ts'
import { WorkloadWatch } from './workload/workload-watch.ts'

export interface SpiffeOptions {
  /** Where the Workload API is: `unix:///path/to.sock` or `tcp://127.0.0.1:8000`. Default `$SPIFFE_ENDPOINT_SOCKET`. */
  readonly socket?: string
  /** Of several identities the one to which the operator gave this hint. Default: the first. */
  readonly hint?: string
}

/**
 * The identity that a SPIFFE Workload API gives this process, such as SPIRE's agent: certificate, key, the trust anchors of its own trust domain and of
 * those it is federated with. Renewed as the server pushes new ones, over one connection that is made again, with backoff up to 30 s, for
 * as long as it takes; meanwhile the last identity stands. A server that refuses before it has ever served, because of the request
 * itself (InvalidArgument, Unimplemented), is not asked again.
 *
 * @throws MeshError INMESH_CONFIG for bad options, and when neither `socket` nor $SPIFFE_ENDPOINT_SOCKET says where it is
 */
export function spiffe(options?: SpiffeOptions): IdentitySourceFactory {
  const { socket, hint } = readOptions<{ socket: string | undefined; hint: string | undefined }>(
    'spiffe',
    options,
    { socket: undefined, hint: undefined },
    { socket: anEndpoint, hint: aString },
  )
  const endpoint = socket === undefined ? fromEnvironment() : (readWorkloadEndpoint(socket) as WorkloadEndpoint)
  return (runtime) => ({
    watch(onUpdate) {
      const workload = new WorkloadWatch(runtime, endpoint, hint, onUpdate)
      return () => workload.stop()
    },
  })
}

const anEndpoint: OptionCheck = (value) =>
  typeof value === 'string' && readWorkloadEndpoint(value) !== undefined ? undefined : EXPECTED_ENDPOINT

function fromEnvironment(): WorkloadEndpoint {
  const uri = process.env.SPIFFE_ENDPOINT_SOCKET
  if (uri === undefined || uri === '') {
    throw new MeshError(
      'INMESH_CONFIG',
      `spiffe.socket: missing, and $SPIFFE_ENDPOINT_SOCKET is not set: expected ${EXPECTED_ENDPOINT}`,
    )
  }
  const endpoint = readWorkloadEndpoint(uri)
  if (endpoint === undefined) {
    throw new MeshError('INMESH_CONFIG', `$SPIFFE_ENDPOINT_SOCKET: expected ${EXPECTED_ENDPOINT}, got ${shown(uri)}`)
  }
  return endpoint
}
