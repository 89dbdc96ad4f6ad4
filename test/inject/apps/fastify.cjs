const app = require('fastify')()

app.get('/api/users/:id', async (request) => `${request.params.id} ${typeof request.raw.mesh}`)
app.get('/api/fails', { schema: { querystring: { type: 'object', required: ['page'] } } }, async () => 'never')
app.listen({ port: 0, host: '127.0.0.1' }).then(() => process.send(app.server.address().port))
