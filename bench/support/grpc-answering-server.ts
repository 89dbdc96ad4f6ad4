/**
 * Run as a child process: answers gRPC calls on as many ports as its argument says, and sends its parent the ports. Ends with its parent.
 */
import grpc from '@grpc/grpc-js'
import { BENCH_SERVICE } from './grpc-service.ts'

const ANSWER = Buffer.from('a small answer, as many services give')

const ports = await Promise.all(Array.from({ length: Number(process.argv[2]) }, listen))
process.send?.(ports)
process.on('disconnect', () => process.exit())

function listen(): Promise<number> {
  const server = new grpc.Server()
  server.addService(BENCH_SERVICE, {
    ask: ((_call, callback) => callback(null, ANSWER)) as grpc.handleUnaryCall<Buffer, Buffer>,
    spread: ((call) => {
      let left = Number(call.request.toString())
      const write = (): void => {
        while (left-- > 0) if (!call.write(ANSWER)) return void call.once('drain', write)
        call.end()
      }
      write()
    }) as grpc.handleServerStreamingCall<Buffer, Buffer>,
  })
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    ),
  )
}
