const express = require('express4')

const app = express()
const api = express.Router()
api.get('/users/:id', (request, response) => response.send(`${request.params.id} ${typeof request.mesh}`))
api.get('/fails', () => {
  throw new Error('failed')
})
app.use('/api', api)
app.use((error, _request, response, _next) => response.status(500).send(error.message))
const server = app.listen(0, '127.0.0.1', () => process.send(server.address().port))
