// A process of its own: begins as many TLS handshakes with a port as it is told, and answers nothing. Says after each hundreds of them that they were begun, and goes on
// when it is told to; says at last that all were ended by the other side. Ends with its parent.
import { once } from 'node:events'
import net from 'node:net'
import tls from 'node:tls'

const [port, count] = process.argv.slice(2).map(Number) as [number, number]
/** As many at a time as a server's queue of new connections takes: more would wait for the network's repetitions. */
const AT_ONCE = 400

let ended = 0

/** The first flight of a client, whole: the server has its part of the work to do for each. */
function hello(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (bytes) => {
          socket.destroy()
          server.close()
          resolve(bytes)
        })
    })
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      tls.connect({ port, host: '127.0.0.1', minVersion: 'TLSv1.3' }).on('error', () => {})
    })
  })
}

function begin(bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(bytes, () => resolve()))
    socket.resume()
    socket
      .on('error', () => {})
      .on('close', () => {
        resolve()
        if (++ended === count) process.send?.({ ended })
      })
  })
}

process.once('disconnect', () => process.exit())
const bytes = await hello()
for (let begun = 0; begun < count; ) {
  const next = Math.min(AT_ONCE, count - begun)
  await Promise.all(Array.from({ length: next }, () => begin(bytes)))
  begun += next
  process.send?.({ begun })
  if (begun < count) await once(process, 'message')
}
