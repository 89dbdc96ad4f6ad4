import { createServer } from 'node:http'

let server
function start() {
  server = createServer((_request, response) => response.end(String(server.address().port)))
  server.listen(0, '127.0.0.1', () => process.send('listening'))
}
process.on('message', (word) => {
  if (word !== 'restart') return
  server.closeAllConnections()
  server.close(start)
})
start()
