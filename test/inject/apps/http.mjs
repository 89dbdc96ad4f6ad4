import { createServer } from 'node:http'

const server = createServer((request, response) => {
  if (request.url === '/throw') nowhere()
  if (request.url === '/reject') return Promise.reject(new Error('rejected'))
  if (request.url === '/body') {
    let length = 0
    request.on('data', (chunk) => {
      length += chunk.length
    })
    return request.on('end', () => response.end(`${length} ${request.mesh.remainingMs > 0}`))
  }
  response.end(`${typeof request.mesh} ${request.mesh?.caller}`)
})
server.on('upgrade', (request, socket) => socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${typeof request.mesh}`))

function nowhere() {
  throw new Error('thrown')
}

server.listen(0, '127.0.0.1', () => process.send(server.address().port))
