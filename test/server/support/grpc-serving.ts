import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import grpc from '@grpc/grpc-js'
import { grpcServerInterceptor } from '../../../src/server/grpc.ts'
import type { GrpcServerOptions } from '../../../src/server/grpc-handler-failures.ts'
import { countUnknownMethods } from '../../../src/server/grpc-unknown-methods.ts'
import type { ReceptionOptions, ReceptionParts } from '../../../src/server/reception.ts'
import { Trial, type TrialClient, type TrialHandlers, trialHandlers } from '../../support/grpc-trial.ts'
import { cleanup } from '../../support/servers.ts'
import { type SmallServing, serving } from './serving.ts'

export interface GrpcServing extends SmallServing {
  readonly port: number
  readonly server: grpc.Server
  /** Another of grpc-js's own clients, with a connection of its own. */
  connect(options?: grpc.ClientOptions): TrialClient
  /** The first of them. */
  readonly client: TrialClient
}

export interface GrpcServingOptions extends GrpcServerOptions {
  /** In place of those that do what they are asked. */
  readonly handlers?: TrialHandlers
  readonly inbound?: Partial<ReceptionOptions>
  readonly parts?: Partial<ReceptionParts>
  readonly options?: grpc.ServerOptions
  /** More interceptors, nearer to the handler. */
  readonly interceptors?: readonly grpc.ServerInterceptor[]
  readonly credentials?: grpc.ServerCredentials
  readonly clientCredentials?: grpc.ChannelCredentials
}

/** A meshed server of grpc-js and clients, ended with the test; fails when something is left in flight. */
export async function serveGrpc(t: TestContext, given: GrpcServingOptions = {}): Promise<GrpcServing> {
  const { handlers = {}, inbound, parts, options, interceptors = [], onError } = given
  const small = serving(inbound, parts)
  const reception = small.mesh.inbound
  const ours = grpcServerInterceptor(reception, onError === undefined ? {} : { onError })
  const server = new grpc.Server({ ...options, interceptors: [ours, ...interceptors] })
  countUnknownMethods(reception, server)
  const implementation = { ...trialHandlers('a'), ...handlers } as grpc.UntypedServiceImplementation
  server.addService(Trial.service, implementation)
  const port = await listen(server, given.credentials ?? grpc.ServerCredentials.createInsecure())
  cleanup(t, () => new Promise<void>((resolve) => reception.whenIdle(resolve)))
  cleanup(t, () => server.forceShutdown())
  const connect = (clientOptions?: grpc.ClientOptions) => {
    const credentials = given.clientCredentials ?? grpc.credentials.createInsecure()
    const client = new Trial(`127.0.0.1:${port}`, credentials, {
      'grpc.use_local_subchannel_pool': 1,
      // no name may be an address in TLS
      'grpc.ssl_target_name_override': 'localhost',
      ...clientOptions,
    })
    cleanup(t, () => client.close())
    return client
  }
  return { ...small, port, server, connect, client: connect() }
}

function listen(server: grpc.Server, credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error ? reject(error) : resolve(port))),
  )
}

/** The status of a call that must fail. */
export async function failure(call: Promise<unknown>): Promise<grpc.ServiceError> {
  return call.then(
    () => assert.fail('the call succeeded'),
    (error: grpc.ServiceError) => error,
  )
}
