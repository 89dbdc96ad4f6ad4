import grpc, { type ServiceDefinition } from '@grpc/grpc-js'

const asItIs = (bytes: Buffer): Buffer => bytes

function method(path: string, responseStream: boolean): ServiceDefinition[string] {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  }
}

/** Messages are bytes: what protobuf costs is the same with and without a mesh. */
export const BENCH_SERVICE: ServiceDefinition = {
  ask: method('/inmesh.bench.Bench/Ask', false),
  spread: method('/inmesh.bench.Bench/Spread', true),
}

/** A client of it. */
export class BenchClient extends grpc.Client {
  ask(): Promise<Buffer> {
    return new Promise((resolve, reject) =>
      this.makeUnaryRequest('/inmesh.bench.Bench/Ask', asItIs, asItIs, QUESTION, (error, answer) =>
        error ? reject(error) : resolve(answer as Buffer),
      ),
    )
  }

  /** Reads so many messages of one stream. */
  spread(count: number): Promise<void> {
    const call = this.makeServerStreamRequest('/inmesh.bench.Bench/Spread', asItIs, asItIs, Buffer.from(String(count)))
    return new Promise((resolve, reject) =>
      call
        .on('data', () => {})
        .on('end', resolve)
        .on('error', reject),
    )
  }
}

const QUESTION = Buffer.from('a small question')
