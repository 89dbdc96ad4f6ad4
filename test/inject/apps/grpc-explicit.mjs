import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { defaultMesh } from '../../../src/index.ts'

const proto = join(import.meta.dirname, '../../support/grpc-trial.proto')
const { Trial } = grpc.loadPackageDefinition(loadSync(proto)).inmesh.trial

// an application that does by itself what is injected, too
const mesh = defaultMesh()
const server = new grpc.Server({ interceptors: [mesh.grpcServer()] })
server.addService(Trial.service, { ask: (_call, callback) => callback(null, { server: 'asked' }) })
mesh.watchGrpc(server)
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_error, port) => {
  mesh.announce({ port }, { service: 'voting' })
  const client = new Trial('voting:80', grpc.credentials.createInsecure(), mesh.grpc())
  client.ask({}, (error, answer) => process.send(error?.message ?? answer.server))
})
