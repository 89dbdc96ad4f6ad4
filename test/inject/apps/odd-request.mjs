import { createServer } from 'node:http'

let requests = 0
const server = createServer(() => {
  requests++
})
const response = { setHeader() {} }
const returned = server.emit('request', {}, response) && server.emit('request', {}, response)
process.send({ requests, returned })
process.on('message', () => {})
