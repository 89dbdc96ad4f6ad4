import { createServer, get } from 'node:http'
import axios from 'axios'
import got from 'got'

// catches nothing
const server = createServer(async (request, response) => {
  if (request.url === '/other') throw new Error('an error of its own')
  if (request.url === '/alive') return response.end('alive')
  await ask[request.url.slice(1)]()
  response.end()
})

const ask = {
  fetch: () => fetch('http://voting/'),
  axios: () => axios.get('http://voting/'),
  got: () => got('http://voting/', { retry: { limit: 0 } }),
  http: () => new Promise((resolve) => get('http://voting/', resolve)),
}

server.listen(0, '127.0.0.1', () => process.send(server.address().port))
