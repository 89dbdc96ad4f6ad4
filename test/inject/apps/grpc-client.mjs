import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const proto = join(import.meta.dirname, '../../support/grpc-trial.proto')
const { Trial } = grpc.loadPackageDefinition(loadSync(proto)).inmesh.trial

process.on('message', (target) => {
  if (!target.includes(':')) return
  const client = new Trial(target, grpc.credentials.createInsecure())
  client.ask({}, (error, answer) => process.send(error?.message ?? answer.server))
})
process.send('ready')
