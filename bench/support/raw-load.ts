import net from 'node:net'

/** Connections that ask for the same again and again, at next to no cost of their own, so that it is the server that is busy. */
export interface RawLoad {
  /** Asks so many times, over all connections at once, and resolves when the last answer is here. */
  readonly send: (count: number) => Promise<void>
  readonly close: () => void
}

const REQUEST = Buffer.from(
  'GET /api/42 HTTP/1.1\r\nhost: bench\r\nconnection: keep-alive\r\nx-envoy-downstream-service-cluster: bench\r\n\r\n',
)

/** @param lastByte what every answer ends with, and no part of one before */
export async function rawLoad(port: number, connections: number, lastByte: string): Promise<RawLoad> {
  const end = lastByte.charCodeAt(0)
  const sockets = await Promise.all(Array.from({ length: connections }, () => connected(port)))
  let left = 0
  let out = 0
  let done = () => {}
  let failed: (error: Error) => void = () => {}
  const ask = (socket: net.Socket) => {
    if (left === 0) return
    left--
    out++
    socket.write(REQUEST)
  }
  for (const socket of sockets) {
    socket.on('error', (error) => failed(error))
    socket.on('data', (chunk) => {
      if (chunk[chunk.length - 1] !== end) return
      out--
      ask(socket)
      if (out === 0) done()
    })
  }
  const send = (count: number) =>
    new Promise<void>((resolve, reject) => {
      left = count
      done = resolve
      failed = reject
      for (const socket of sockets) ask(socket)
    })
  return { send, close: () => sockets.forEach((socket) => void socket.destroy()) }
}

function connected(port: number): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(socket)).once('error', reject)
  })
}
