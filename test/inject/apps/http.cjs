const http = require('node:http')

// as it is done by frameworks: no listener is given when the server is made, and the server is extended
class Own extends http.Server {}
const server = new Own()
server.addListener('request', async (request, response) => {
  const next = request.headers['x-next']
  if (next === undefined) return response.end(typeof request.mesh)
  const answer = await fetch(next)
  response.end(await answer.text())
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
