const { join } = require('node:path')
const grpc = require('@grpc/grpc-js')
const { loadSync } = require('@grpc/proto-loader')
const { createChannel, createClient, createServer } = require('nice-grpc')

const proto = join(__dirname, '../../support/grpc-trial.proto')
const { Trial } = grpc.loadPackageDefinition(loadSync(proto)).inmesh.trial

const server = createServer()
server.add(Trial.service, {
  Empty: async () => ({}),
  Ask: async () => ({ server: 'nice' }),
  Read: async () => ({}),
  Collect: async () => ({}),
  Spread: async function* () {},
  Converse: async function* () {},
  Missing: async () => ({}),
})
server.listen('127.0.0.1:0').then((port) => process.send(port))

process.on('message', async (target) => {
  if (!target.includes(':')) return
  const client = createClient(Trial.service, createChannel(target))
  process.send((await client.Ask({})).server)
})
