import fastify from 'fastify'

const app = fastify()
const schema = { querystring: { type: 'object', required: ['page'] } }
await app.register(
  async (api) => {
    api.get('/users/:id', async (request) => `${request.params.id} ${typeof request.raw.mesh}`)
    api.get('/fails', { schema }, async () => 'never')
  },
  { prefix: '/api' },
)
await app.listen({ port: 0, host: '127.0.0.1' })
process.send(app.server.address().port)
