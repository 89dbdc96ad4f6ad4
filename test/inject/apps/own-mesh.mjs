import http from 'node:http'
import { currentContext } from '../../../src/index.ts'

const server = http.createServer((request, response) => {
  request.mesh = JSON.parse(request.headers['x-mesh'])
  request.resume().on('end', () => response.end(`${JSON.stringify(request.mesh)} ${currentContext()?.caller}`))
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
