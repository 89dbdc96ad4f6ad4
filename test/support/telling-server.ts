// A server of `voting` in a process of its own, over HTTP and gRPC, that answers with who has called and what was sent. Nothing is configured but names.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import grpc from '@grpc/grpc-js'
import { createMesh } from '../../src/index.ts'
import { inboundOf } from '../../src/server/grpc-inbound.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'
import { type Question, Trial } from './grpc-trial.ts'

const host = '127.0.0.1'
const mesh = createMesh({ name: 'voting' })

const server = createServer(
  inmeshHttp({ mesh }, async (request, response) =>
    response.end(`${request.mesh.peer.identity ?? 'nobody'} ${await text(request)}`),
  ),
)
mesh.announce(server)
await new Promise<void>((resolve) => server.listen(0, host, resolve))

const grpcServer = new grpc.Server({ interceptors: [mesh.grpcServer()] })
grpcServer.addService(Trial.service, {
  ask: ((call, callback) => {
    callback(null, { server: `${inboundOf(call)?.peer.identity ?? 'nobody'} ${call.request.body}` })
  }) as grpc.handleUnaryCall<Question, object>,
})
const port = await mesh.listen(grpcServer, { port: 0, host })
mesh.announce({ port, host }, { service: 'voting-grpc' })

process.on('message', () => process.send?.(mesh.prometheus()))
process.once('disconnect', () => process.exit())
process.send?.({ http: (server.address() as AddressInfo).port, grpc: port })
