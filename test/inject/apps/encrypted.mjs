import http2 from 'node:http2'
import https from 'node:https'
import { testCertificate } from '../../support/servers.ts'

const answer = (request, response) => response.end(`${request.httpVersion} ${typeof request.mesh}`)
const servers = {
  https: https.createServer({ ...testCertificate }, answer),
  h2: http2.createSecureServer({ ...testCertificate, allowHTTP1: true }, answer),
  h2c: http2.createServer(answer),
}
const ports = {}
for (const [name, server] of Object.entries(servers)) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  ports[name] = server.address().port
}
process.send(ports)
