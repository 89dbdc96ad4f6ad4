const { join } = require('node:path')
const { loadSync } = require('@grpc/proto-loader')

const definition = loadSync(join(__dirname, '../../support/grpc-trial.proto'))

function clientOfItsOwn(target) {
  for (const path of Object.keys(require.cache)) if (path.includes('grpc-js')) delete require.cache[path]
  const grpc = require('@grpc/grpc-js')
  const { Trial } = grpc.loadPackageDefinition(definition).inmesh.trial
  return new Trial(target, grpc.credentials.createInsecure())
}

process.on('message', (target) => {
  if (!target.includes(':')) return
  clientOfItsOwn(target).ask({}, (error, answer) => process.send(error?.message ?? answer.server))
})
process.send('ready')
