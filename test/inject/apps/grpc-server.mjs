import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const proto = join(import.meta.dirname, '../../support/grpc-trial.proto')
const { Trial } = grpc.loadPackageDefinition(loadSync(proto)).inmesh.trial

const server = new grpc.Server()
server.addService(Trial.service, {
  ask: (_call, callback) => callback(null, { server: 'asked' }),
  read: async () => {
    throw new Error('rejected')
  },
})
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_error, port) => process.send(port))
