import { createServer } from 'node:http'
import express from 'express'
import fastify from 'fastify'
import { createMesh, defaultMesh } from '../../../src/index.ts'
import { inmeshExpress } from '../../../src/server/express.ts'
import { inmeshFastify } from '../../../src/server/fastify.ts'
import { rateLimit } from '../../../src/server/limits/rate-limit.ts'
import { inmeshHttp } from '../../../src/server/node-http.ts'

// an application that does by itself what is injected, too
const mesh = defaultMesh()
const own = createMesh({ inbound: { admissions: [rateLimit({ perSecond: 0.001, burst: 1 })] } })

const expressApp = express()
expressApp.use(inmeshExpress({ mesh }))
expressApp.get('/express/:id', (request, response) => response.send(request.mesh.route))
const fastifyApp = fastify()
await fastifyApp.register(inmeshFastify, { mesh })
fastifyApp.get('/fastify/:id', async (request) => request.mesh.route)
await fastifyApp.ready()
const throws = () => {
  throw new Error('thrown')
}
const servers = {
  express: createServer(expressApp),
  fastify: fastifyApp.server,
  http: createServer(inmeshHttp({ mesh, onError: () => {} }, throws)),
  own: createServer(inmeshHttp({ mesh: own }, (request, response) => response.end(typeof request.mesh))),
}
const ports = {}
for (const [name, server] of Object.entries(servers)) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  ports[name] = server.address().port
}
process.on('message', (question) => {
  if (question === 'own') process.send(own.stats().inbound.reduce((sum, { requests }) => sum + requests.total, 0))
})
process.send(ports)
