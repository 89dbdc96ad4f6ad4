// A server of `voting` over HTTP and of `tally` over gRPC in a process of its own, that takes its leave on SIGTERM.
import { createServer } from 'node:http'
import grpc from '@grpc/grpc-js'
import { createMesh } from '../../src/index.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { Trial, trialHandlers } from './grpc-trial.ts'

const mesh = createMesh({ name: 'voting', drain: { noticeMs: 300, graceMs: 5_000 } })

const server = createServer(inmeshHttp({ mesh }, (_, response) => void response.end('voted')))
server.listen(0, '127.0.0.1')
const announced = [mesh.announce(server).entered]

const tally = new grpc.Server({ interceptors: [mesh.grpcServer()] })
tally.addService(Trial.service, trialHandlers(String(process.pid)))
mesh.watchGrpc(tally)
tally.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error
  announced.push(mesh.announce({ port, host: '127.0.0.1' }, { service: 'tally' }).entered)
  Promise.all(announced).then(() => process.send?.('listening'))
})

process.once('SIGTERM', async () => {
  process.exitCode = await mesh.drain()
  await mesh.close()
  process.disconnect?.()
})
