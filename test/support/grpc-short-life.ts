/**
 * Run as a process of its own: calls a server through the mesh, closes the server and, unless its argument is `open`, the mesh; it must then
 * end by itself.
 */
import grpc from '@grpc/grpc-js'
import { makeGrpcClients } from '../../bench/support/grpc-clients.ts'
import { BENCH_SERVICE } from '../../bench/support/grpc-service.ts'

const server = new grpc.Server()
server.addService(BENCH_SERVICE, {
  ask: ((call, callback) => callback(null, call.request)) as grpc.handleUnaryCall<Buffer, Buffer>,
})
const port = await new Promise<number>((resolve, reject) =>
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, free) =>
    error ? reject(error) : resolve(free),
  ),
)
const clients = makeGrpcClients([port])
await clients.meshed.ask()
if (process.argv[2] !== 'open') await clients.close()
server.forceShutdown()
process.stdout.write('called\n')
