const { join } = require('node:path')
const grpc = require('@grpc/grpc-js')
const { loadSync } = require('@grpc/proto-loader')

const proto = join(__dirname, '../../support/grpc-trial.proto')
const { Trial } = grpc.loadPackageDefinition(loadSync(proto)).inmesh.trial

process.on('message', (target) => {
  if (!target.includes(':')) return
  const client = new Trial(target, grpc.credentials.createInsecure())
  client.ask({}, (error, answer) => process.send(error?.message ?? answer.server))
})
process.send('ready')
