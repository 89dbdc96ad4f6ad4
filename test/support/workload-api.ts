import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** The message `X509SVIDResponse`. */
export interface SvidMessage {
  readonly svids?: readonly SvidEntry[]
  readonly crl?: readonly Buffer[]
  readonly federated_bundles?: Readonly<Record<string, Buffer>>
}

export interface SvidEntry {
  readonly spiffe_id: string
  readonly x509_svid: Buffer
  readonly x509_svid_key: Buffer
  readonly bundle: Buffer
  readonly hint?: string
}

type Stream = grpc.ServerWritableStream<object, SvidMessage | Buffer>

const loaded = grpc.loadPackageDefinition(
  loadSync(join(import.meta.dirname, 'workload-api.proto'), { keepCase: true }),
) as unknown as { SpiffeWorkloadAPI: { service: grpc.ServiceDefinition } }
const { FetchX509SVID } = loaded.SpiffeWorkloadAPI.service as unknown as { FetchX509SVID: grpc.MethodDefinition<object, object> }

/** As the agent's: it sends what is current on each new call and whenever that changes. */
export class WorkloadApi {
  /** What new calls get; a Buffer is sent as it is. */
  current: SvidMessage | Buffer | undefined
  /** What new calls are refused with. */
  refusal: { readonly code: number; readonly details: string } | undefined
  /** How many calls came. */
  calls = 0
  readonly #server = new grpc.Server()
  readonly #streams = new Set<Stream>()
  #uri = ''

  private constructor(current: SvidMessage | Buffer | undefined) {
    this.current = current
    const method = {
      ...FetchX509SVID,
      responseSerialize: (value: object) => (Buffer.isBuffer(value) ? value : FetchX509SVID.responseSerialize(value)),
    }
    this.#server.addService({ FetchX509SVID: method }, { FetchX509SVID: (stream: Stream) => this.#serve(stream) })
  }

  /** @param at `unix:///path` or `tcp://127.0.0.1:0` */
  static async listen(at: string, current?: SvidMessage | Buffer): Promise<WorkloadApi> {
    const api = new WorkloadApi(current)
    const target = at.startsWith('unix://') ? at.replace('unix://', 'unix:') : at.replace('tcp://', '')
    const port = await new Promise<number>((resolve, reject) => {
      const listening = (error: Error | null, bound: number) => (error ? reject(error) : resolve(bound))
      api.#server.bindAsync(target, grpc.ServerCredentials.createInsecure(), listening)
    })
    api.#uri = at.startsWith('unix://') ? at : at.replace(/:\d+$/, `:${port}`)
    return api
  }

  /** What clients find in SPIFFE_ENDPOINT_SOCKET. */
  get uri(): string {
    return this.#uri
  }

  /** How many calls are open. */
  get streams(): number {
    return this.#streams.size
  }

  /** Makes this current, for everybody. */
  push(message: SvidMessage | Buffer): void {
    this.current = message
    for (const stream of this.#streams) stream.write(message)
  }

  /** Ends every open call. */
  end(status?: { readonly code: number; readonly details: string }): void {
    for (const stream of this.#streams) {
      if (status === undefined) stream.end()
      else stream.emit('error', status)
    }
    this.#streams.clear()
  }

  /** Is gone, with its socket and every connection. */
  close(): void {
    this.#server.forceShutdown()
    this.#streams.clear()
  }

  #serve(stream: Stream): void {
    this.calls++
    if (stream.metadata.get('workload.spiffe.io')[0] !== 'true') {
      stream.emit('error', { code: grpc.status.INVALID_ARGUMENT, details: 'security header missing from request' })
      return
    }
    if (this.refusal !== undefined) {
      stream.emit('error', this.refusal)
      return
    }
    this.#streams.add(stream)
    stream.on('cancelled', () => this.#streams.delete(stream))
    if (this.current !== undefined) stream.write(this.current)
  }
}
