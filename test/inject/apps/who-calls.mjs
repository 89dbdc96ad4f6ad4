import { createServer } from 'node:http'

const server = createServer((request, response) => response.end(request.mesh.peer.identity ?? 'nobody'))
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
