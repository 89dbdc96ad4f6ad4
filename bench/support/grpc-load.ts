import grpc from '@grpc/grpc-js'
import { BenchClient } from './grpc-service.ts'
import type { RawLoad } from './raw-load.ts'

/** The same call again and again, so many at a time over one connection: that of a client of grpc-js. */
export async function grpcLoad(port: number, concurrency: number): Promise<RawLoad> {
  const client = new BenchClient(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
  const send = async (count: number): Promise<void> => {
    let left = count
    const worker = async () => {
      while (left-- > 0) await client.ask()
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
  }
  return { send, close: () => client.close() }
}
