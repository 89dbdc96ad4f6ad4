import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

export interface Question {
  readonly body?: Buffer
  readonly answerBytes?: number
  readonly statusCode?: number
  readonly statusDetails?: string
}

export interface Answer {
  readonly body: Buffer
  /** The name of the server that answered. */
  readonly server: string
}

type Callback<T> = (error: grpc.ServiceError | null, value?: T) => void
type Unary<Q, A> = (
  question: Q,
  ...rest: [...([grpc.Metadata] | []), ...([grpc.CallOptions] | []), Callback<A>]
) => grpc.ClientUnaryCall

/** A client as proto-loader and grpc-js generate it. */
export interface TrialClient extends grpc.Client {
  empty: Unary<object, object>
  ask: Unary<Question, Answer>
  read: Unary<Question, Answer>
  missing: Unary<object, object>
  collect(
    ...rest: [...([grpc.Metadata] | []), ...([grpc.CallOptions] | []), Callback<{ bytes: number }>]
  ): grpc.ClientWritableStream<Question>
  spread(
    sizes: { bytes: number[] },
    ...rest: [...([grpc.Metadata] | []), ...([grpc.CallOptions] | [])]
  ): grpc.ClientReadableStream<Answer>
  converse(...rest: [...([grpc.Metadata] | []), ...([grpc.CallOptions] | [])]): grpc.ClientDuplexStream<Question, Answer>
}

interface ClientConstructor<C> {
  new (target: string, credentials: grpc.ChannelCredentials, options?: grpc.ClientOptions): C
  readonly service: grpc.ServiceDefinition
}

const loaded = grpc.loadPackageDefinition(loadSync(join(import.meta.dirname, 'grpc-trial.proto'))) as unknown as {
  inmesh: {
    trial: { Trial: ClientConstructor<TrialClient>; Absent: ClientConstructor<grpc.Client & { call: Unary<object, object> }> }
  }
}

export const { Trial, Absent } = loaded.inmesh.trial

export type TrialHandlers = Partial<Record<keyof TrialClient, grpc.UntypedHandleCall>>

/** Does what each question asks; `name` is told in the answers. */
export function trialHandlers(name: string): TrialHandlers {
  const answer = ({ answerBytes = 0 }: Question): Answer => ({ body: Buffer.alloc(answerBytes), server: name })
  const unary: grpc.handleUnaryCall<Question, Answer> = (call, callback) => {
    const { statusCode = 0, statusDetails = '' } = call.request
    const trailers = new grpc.Metadata()
    for (const key of ['x-echo-trailing', 'x-echo-bin']) for (const value of call.metadata.get(key)) trailers.add(key, value)
    const [initial] = call.metadata.get('x-echo-initial')
    if (initial !== undefined) {
      const metadata = new grpc.Metadata()
      metadata.set('x-echo-initial', initial)
      call.sendMetadata(metadata)
    }
    if (statusCode !== 0) callback({ code: statusCode, details: statusDetails, metadata: trailers })
    else callback(null, answer(call.request), trailers)
  }
  return {
    empty: ((_call, callback) => callback(null, {})) as grpc.handleUnaryCall<object, object>,
    ask: unary,
    read: unary,
    collect: ((call, callback) => {
      let bytes = 0
      call.on('data', ({ body }: Question) => {
        bytes += body?.length ?? 0
      })
      call.on('end', () => callback(null, { bytes }))
    }) as grpc.handleClientStreamingCall<Question, object>,
    spread: ((call) => {
      for (const answerBytes of call.request.bytes) call.write(answer({ answerBytes }))
      call.end()
    }) as grpc.handleServerStreamingCall<{ bytes: number[] }, Answer>,
    converse: ((call) => {
      call.on('data', (question: Question) => {
        const { statusCode = 0, statusDetails = '' } = question
        if (statusCode !== 0) call.emit('error', { code: statusCode, details: statusDetails })
        else call.write(answer(question))
      })
      call.on('end', () => call.end())
    }) as grpc.handleBidiStreamingCall<Question, Answer>,
  }
}
