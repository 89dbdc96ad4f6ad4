import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type { Mesh } from 'inmesh'

export interface Emoji {
  readonly shortcode: string
  readonly unicode: string
}

type Unary<Question, Answer> = (question: Question, done: (error: Error | null, answer?: Answer) => void) => unknown

export type EmojiClient = grpc.Client & {
  readonly ListAll: Unary<object, { readonly list: readonly Emoji[] }>
  readonly FindByShortcode: Unary<{ readonly shortcode: string }, { readonly emoji: Emoji | null }>
}

/** As many methods as there are emoji. */
export type VotingClient = grpc.Client & {
  readonly [method: `Vote${string}`]: Unary<{ readonly voteId: string }, object>
  readonly Results: Unary<object, { readonly results: readonly { readonly shortcode: string; readonly votes: number }[] }>
}

interface Generated<Client> {
  new (target: string, credentials: grpc.ChannelCredentials, options: grpc.ClientOptions): Client
  readonly service: grpc.ServiceDefinition
}

const files = ['emoji.proto', 'voting.proto'].map((file) => join(import.meta.dirname, 'proto', file))
const { emojivoto } = grpc.loadPackageDefinition(loadSync(files, { defaults: true })) as unknown as {
  emojivoto: { v1: { EmojiService: Generated<EmojiClient>; VotingService: Generated<VotingClient> } }
}

export const { EmojiService, VotingService } = emojivoto.v1

/** A client of a service, by the service's name. Only these two words are the mesh's: `mesh.grpc()`. */
export function clientOf<Client>(mesh: Mesh, name: string, service: Generated<Client>): Client {
  return new service(name, grpc.credentials.createInsecure(), mesh.grpc({ idempotent: [service.service] }))
}

/** Asks: `await ask(emoji, emoji.ListAll, {})`. */
export function ask<Question, Answer>(client: grpc.Client, method: Unary<Question, Answer>, question: Question): Promise<Answer> {
  return new Promise((resolve, reject) =>
    method.call(client, question, (error, answer) => (error ? reject(error) : resolve(answer as Answer))),
  )
}

/** Serves on a free port, secured, and lets the mesh tell the others where. */
export async function serve(mesh: Mesh, service: Generated<unknown>, handlers: grpc.UntypedServiceImplementation): Promise<void> {
  const server = new grpc.Server({ interceptors: [mesh.grpcServer()] })
  server.addService(service.service, handlers)
  mesh.watchGrpc(server)
  const host = '127.0.0.1'
  const port = await mesh.listen(server, { port: 0, host })
  mesh.announce({ port, host })
}
