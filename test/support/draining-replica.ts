// A server of `voting` in a process of its own, that takes its leave on SIGTERM.
import { createServer } from 'node:http'
import { createMesh } from '../../src/index.ts'
import { inmeshHttp } from '../../src/server/node-http.ts'

const mesh = createMesh({ name: 'voting', drain: { noticeMs: 300, graceMs: 5_000 } })
const server = createServer(inmeshHttp({ mesh }, (_, response) => void response.end('voted')))
server.listen(0, '127.0.0.1')
mesh.announce(server)
server.once('listening', () => process.send?.('listening'))
process.once('SIGTERM', async () => {
  process.exitCode = await mesh.drain()
  await mesh.close()
  process.disconnect?.()
})
