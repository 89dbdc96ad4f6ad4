// A server of `voting` in a process of its own, that can be killed.
import { createServer } from 'node:http'
import { createMesh } from '../../src/index.ts'

const mesh = createMesh({ name: 'voting' })
const server = createServer((_, response) => response.end('voted'))
server.listen(0, '127.0.0.1')
mesh.announce(server).entered.then(() => process.send?.('listening'))
process.once('disconnect', () => process.exit())
