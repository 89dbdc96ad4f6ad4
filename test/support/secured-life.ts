// A process of its own: announces and secures a server, calls the secured service `voting` through every door, and then closes everything (`close`), or closes its server
// alone and is idle (`idle`). Prints what it saw, and is expected to end by itself.
import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import http from 'node:http'
import { inspect } from 'node:util'
import grpc from '@grpc/grpc-js'
import { createMesh } from '../../src/index.ts'
import { answer } from './grpc-engine.ts'
import { Trial } from './grpc-trial.ts'

const WATCHED = new Set(['TCPWRAP', 'TCPSERVERWRAP', 'FSEVENTWRAP', 'Timeout'])
/** Whether they hold the process or not. */
const alive = new Map<number, string>()
createHook({
  init(id, type) {
    // undici has one timer a process, which holds nothing and stays
    if (WATCHED.has(type) && !new Error().stack?.includes('undici/lib/util/timers')) alive.set(id, type)
  },
  destroy: (id) => void alive.delete(id),
}).enable()

const mesh = createMesh({ name: 'web' })
const server = http.createServer((_, response) => response.end()).listen(0, '127.0.0.1')
await once(server, 'listening')
const registration = mesh.announce(server)
const client = new Trial('tally', grpc.credentials.createInsecure(), mesh.grpc() as grpc.ClientOptions)

await (await mesh.fetch('http://voting/')).text()
await (await mesh.request('http://voting/')).body.text()
await new Promise<void>((resolve, reject) => {
  http.get({ host: 'voting', agent: mesh.httpAgent }, (response) => response.resume().on('end', resolve)).on('error', reject)
})
await answer((done) => client.empty({}, done))

const shown = [inspect(mesh, { showHidden: true, depth: 20 }), JSON.stringify(mesh.stats()), mesh.prometheus()].join('\n')
const handshakes = Number(/handshakes_total\{mesh_tls_side="client",mesh_tls_result="ok"\} (\d+)/.exec(mesh.prometheus())?.[1])
registration.withdraw()
server.close()
server.closeAllConnections()
if (process.argv[2] === 'close') {
  client.close()
  await mesh.close()
  // what is closed is gone some turns later, when the other end has heard of it
  for (let turn = 0; turn < 20_000 && alive.size > 0; turn++) await new Promise((resolve) => setImmediate(resolve))
}
console.log(JSON.stringify({ handshakes, left: [...alive.values()], showsKey: /PRIVATE KEY|-----BEGIN/.test(shown) }))
