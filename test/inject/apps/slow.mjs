import { createServer } from 'node:http'

let slow
const server = createServer((request, response) => {
  if (request.url !== '/slow') return response.end('fast')
  slow = response
  process.send('begun')
})
process.on('message', (word) => {
  if (word === 'answer') slow.end('slow')
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
