/** Run as a child process: serves, tells its parent the port and of each request, and drains on SIGTERM; answers once it was told to end. */
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { Drain, drainOnSignal } from '../../../src/server/drain.ts'
import { inmeshHttp } from '../../../src/server/node-http.ts'
import { serving } from './serving.ts'

const { mesh } = serving()
const drain = new Drain(mesh.inbound, { noticeMs: 0, graceMs: 5_000 })
const server = http.createServer(
  inmeshHttp({ mesh }, (_request, response) => {
    process.on('SIGTERM', () => {
      response.setHeader('connection', 'close')
      response.end('served')
    })
    process.send?.('request')
    // others who listen decide how the process ends; this one has nothing to say about it
    process.once('SIGTERM', () => process.removeAllListeners('SIGTERM'))
  }),
)
drain.watch(server)
drainOnSignal(() => drain.drain())
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
